"""The report as a file: what it says, that nothing escapes from it, and how large it gets."""

import base64
import copy
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from dynafix.errors import UsageError
from dynafix.report import write_report
from dynafix.report.page import render

from .results_fixture import large, lenet


LIMIT = 5_000_000
VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "wbr"}
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'`{{7*7}}&lt;<!--"
MINIMAL = {"schema": 1, "network": "bare"}


class Page(HTMLParser):
    """Elements, attributes and texts of a page; tags must be closed in order."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.open = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.texts.append(data)

    @property
    def text(self):
        """All that is read, with plain single spaces."""
        return " ".join("".join(self.texts).split())

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def page(results):
    return Page(render(results))


def data_of(text):
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


def hostile():
    """Return results in which every name is an attack."""
    results = lenet()
    for key in ("network", "model_file", "config_hash"):
        results[key] = HOSTILE
    results["config"]["name"] = results["options"]["precision"] = HOSTILE
    results["class_names"] = [HOSTILE] * 10
    results["provenance"] = {"command": HOSTILE, HOSTILE: {HOSTILE: HOSTILE}, "date": HOSTILE}
    for layer in results["layers"]:
        for key in ("name", "operator", "data_format", "weight_format", "bound_by"):
            layer[key] = HOSTILE
        layer["input_shape"] = [HOSTILE]
    for prediction, picture in zip(results["predictions"], (
            "javascript:alert(1)", "data:image/svg+xml;base64,AAAA", 'data:image/png;base64,"', 7)):
        prediction["png"] = picture
    return results


def test_five_questions_in_order():
    found = re.findall(r'<h2 id="\w+"><span[^>]*>(\d)</span>([^<]+)</h2>', render(lenet()))
    assert found == [
        ("1", "Does it work?"), ("2", "What did the numbers lose?"),
        ("3", "Where do the cycles go?"), ("4", "What would help?"), ("5", "How was it made?")]


def test_headings_go_down_one_level_at_a_time():
    levels = [int(tag[1]) for tag, _ in page(lenet()).elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:]))


def test_numbers_of_the_run_are_told():
    results = lenet()
    text = page(results).text
    for part in (
        "numpy, onnxruntime and the RTL computed the same integers, bit for bit.",
        "Quantization loses 0.20 points of accuracy, less than the ± 0.95",
        "98.80 %", "98.60 %", "91.20 %", "8 043", "at 150 MHz, 18 650 images a second",
        "9 of 10 are right.", "✗ is 3", "float network: 3",
        "dynafix run models/lenet5_mnist.onnx --data", "3f3f3f3f", results["config_hash"],
    ):
        assert part in text.replace("\u202f", " "), part


def test_every_layer_is_in_every_table():
    rows = re.findall(r'<th scope="row">(.*?)</th>', render(lenet()))
    for name in ("conv1", "pool1", "conv2", "pool2", "fc1", "fc2"):
        assert rows.count(name) == 4


def test_every_chart_has_a_label_and_a_title():
    parsed = page(lenet())
    charts = [attributes for attributes in parsed.all("div") if attributes.get("class") == "chart"]
    assert [chart["id"] for chart in charts] == ["snr", "ribbon", "timeline", "roofline", "dram"]
    assert all(len(chart["aria-label"]) > 40 for chart in charts)
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    referred = [attributes[key] for _, attributes in parsed.elements
                for key in ("aria-labelledby", "aria-controls") if key in attributes]
    assert set(referred) <= set(ids)


def test_pictures_have_alternative_text():
    images = page(lenet()).all("img")
    assert len(images) == 10
    assert all(image["alt"].startswith("Input image ") for image in images)


@pytest.mark.parametrize("results", [lenet(), large(), hostile(), MINIMAL],
                         ids=["lenet", "large", "hostile", "minimal"])
def test_no_address_outside_of_the_page(results):
    for tag, attributes in page(results).elements:
        assert tag not in {"iframe", "object", "embed", "base", "form"}
        for key in ("src", "href", "action", "srcset", "poster", "data"):
            assert attributes.get(key, "#").startswith(("#", "data:image/")), (tag, key)
        assert not [key for key in attributes if key.startswith("on")]


def test_policy_admits_the_two_scripts_and_no_address():
    text = render(lenet())
    policy = next(attributes["content"] for attributes in Page(text).all("meta")
                  if attributes.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy
    hashes = re.findall(r"'sha256-([^']+)'", policy)
    script = text[text.rindex("<script>") + len("<script>"):text.rindex("</script>")]
    assert len(hashes) == 2
    assert hashes[0] == base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def test_hostile_names_stay_text():
    text = render(hostile())
    parsed = Page(text)
    scripts = [attributes.get("id") for attributes in parsed.all("script")]
    assert scripts == ["data", "library", None]
    assert len(parsed.all("img")) == 6
    assert "alert(1)" in parsed.text
    assert "49" not in data_of(text)["layers"][0]["name"]
    assert "<" not in re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1]


def test_characters_that_cannot_be_written(tmp_path):
    results = lenet()
    results["network"] = "a\ud800b\x00c\u202ed"
    write_report(results, tmp_path / "report.html")
    assert "<h1>a\ufffdb\ufffdc\ufffdd</h1>" in (tmp_path / "report.html").read_text()


def test_nothing_but_a_name():
    text = render(MINIMAL)
    parsed = Page(text)
    assert "The hardware was not simulated, so nothing is known about it." in parsed.text
    assert "The images have no labels, so there is no accuracy." in parsed.text
    assert not [attributes for attributes in parsed.all("div")
                if attributes.get("class") == "chart"]
    assert not [value for key, value in data_of(text).items() if key != "layers" and value]


def test_every_field_may_be_null():
    for key in lenet():
        if key != "schema":
            assert "What would help?" in page({**lenet(), key: None}).text
    for key in lenet()["layers"][0]:
        results = lenet()
        for layer in results["layers"]:
            layer[key] = None
        assert "What would help?" in page(results).text


def test_no_labels_no_accuracy():
    text = page(large()).text
    assert "The images have no labels" in text
    assert "are right" not in text
    assert "static" not in text


def test_engines_that_differ():
    results = lenet()
    results["engines_equal"] = False
    results["layers"][2]["engines_equal"] = False
    parsed = page(results)
    assert "The three engines differ in conv2. Nothing below may be trusted." in parsed.text
    assert "bit for bit" not in parsed.text
    assert "✗ differs" in parsed.text


def test_other_schema():
    with pytest.raises(UsageError) as caught:
        render({**lenet(), "schema": 2})
    assert str(caught.value) == ("results must have schema 1, not 2. "
                                 "Make them again with: dynafix run")


@pytest.mark.parametrize("results", [lenet(), large()], ids=["lenet", "large"])
def test_size(tmp_path, results):
    path = tmp_path / "folder" / "report.html"
    write_report(results, path)
    assert 1_000_000 < path.stat().st_size < 2_600_000


def test_size_of_the_largest():
    results = large()
    results["layers"] *= 3
    results["timeline"] = [
        {"engine": engine, "layer": place // 1000, "start": 1000 * place + shift,
         "end": 1000 * place + shift + 300}
        for engine, shift in (("load", 0), ("calc", 200), ("save", 400))
        for place in range(60_000)
    ]
    picture = "data:image/png;base64," + "A" * 400_000
    results["predictions"] = [copy.copy(large()["predictions"][0]) | {"png": picture}] * 100
    text = render(results)
    assert len(text.encode()) < LIMIT
    assert text.count(picture) == 3
    assert "97 more in results.json" in text
    assert "cycles apart are drawn as one" in text
