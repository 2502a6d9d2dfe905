/* The timeline keeps all events in arrays and gives the chart only what one can see: events that
   are closer than a pixel become one bar, whose opacity tells how much of it was active. */
const LANE_HEIGHT = 0.74;
const MERGE_PIXELS = 1.2;
const LEAST_CYCLES = 16;

class Timeline {
  constructor(element, data, layers, show) {
    this.element = element;
    this.data = data;
    this.show = show;
    this.names = new Map(layers.map((layer) => [layer.index, layer]));
    this.lanes = data.engines.map((engine) => {
      let now = 0;
      const start = engine.start.map((step) => (now += step));
      const end = start.map((at, place) => at + engine.length[place]);
      let reached = 0;
      return { ...engine, start, end, reached: end.map((at) => (reached = Math.max(reached, at))) };
    });
    this.order = new Map(data.layers.map(([, , layer], place) => [layer, place]));
    this.range = [0, data.cycles];
    this.drawn = "";
  }

  name(layer) {
    return this.names.get(layer)?.name ?? `layer ${layer}`;
  }

  visible(lane, from, to) {
    let [least, most] = [0, lane.end.length];
    while (least < most) {
      const middle = (least + most) >> 1;
      if (lane.reached[middle] < from) least = middle + 1; else most = middle;
    }
    const cyclesPerPixel = (this.range[1] - this.range[0]) / Math.max(this.element.clientWidth - 90, 100);
    const bars = [];
    for (let place = least; place < lane.start.length && lane.start[place] <= to; place += 1) {
      const last = bars[bars.length - 1];
      const [start, end, layer] = [lane.start[place], lane.end[place], lane.layer[place]];
      const near = last && start - last.end < MERGE_PIXELS * cyclesPerPixel;
      if (near && (layer === last.layer || end - last.start < 2 * MERGE_PIXELS * cyclesPerPixel)) {
        last.active += Math.max(end - Math.max(start, last.end), 0);
        last.end = Math.max(last.end, end);
        last.amount += 1;
        last.layers.add(layer);
      } else {
        bars.push({ start, end, layer, active: end - start, amount: 1, layers: new Set([layer]) });
      }
    }
    return bars;
  }

  engineTrace(lane, row, from, to) {
    const bars = this.visible(lane, from, to);
    const shades = [color(lane.key), color(`${lane.key}-2`)];
    return {
      type: "bar", orientation: "h", width: LANE_HEIGHT, y: bars.map(() => row),
      base: bars.map((bar) => bar.start), x: bars.map((bar) => bar.end - bar.start),
      textposition: "none", hoverinfo: "text", hovertext: bars.map((bar) => this.hover(lane, bar)),
      marker: {
        line: { width: 0 },
        color: bars.map((bar) => shades[(this.order.get(bar.layer) ?? bar.layer) % 2]),
        opacity: bars.map((bar) => 0.3 + 0.7 * Math.min(1, bar.active / (bar.end - bar.start))),
      },
    };
  }

  hover(lane, bar) {
    const some = [...bar.layers].slice(0, 3).map((layer) => this.name(layer)).join(", ");
    const more = bar.layers.size > 3 ? ` and ${bar.layers.size - 3} more` : "";
    return hoverText([
      `${lane.name}: ${some}${more}`,
      `cycles ${group(bar.start)} to ${group(bar.end)}: ${group(bar.end - bar.start)}`,
      ...(bar.amount > 1 ? [`${group(bar.amount)} events, active in ${group(bar.active)} cycles`] : []),
    ]);
  }

  layerTrace(row, from, to) {
    const shown = this.data.layers.filter(([start, end]) => end >= from && start <= to);
    return {
      type: "bar", orientation: "h", width: LANE_HEIGHT, y: shown.map(() => row),
      base: shown.map(([start]) => start), x: shown.map(([start, end]) => end - start),
      text: shown.map(([, , layer]) => escapeLabel(this.names.get(layer)?.short ?? layer)),
      textposition: "inside", insidetextanchor: "middle", textangle: 0, hoverinfo: "text",
      textfont: { color: color("ink"), size: 12 },
      hovertext: shown.map(([start, end, layer]) => hoverText([
        this.name(layer), `CALC from cycle ${group(start)} to ${group(end)}`])),
      marker: {
        line: { width: 0 },
        color: shown.map(([, , layer]) => color(this.order.get(layer) % 2 ? "lane-2" : "lane")),
      },
    };
  }

  figure() {
    const [from, to] = this.range;
    const rows = this.lanes.length;
    const traces = this.lanes.map((lane, place) => this.engineTrace(lane, rows - 1 - place, from, to));
    return [[this.layerTrace(rows, from, to), ...traces], {
      ...baseLayout(this.element), barmode: "overlay", bargap: 0, margin: { l: 62, r: 14, t: 6, b: 42 },
      uniformtext: { mode: "hide", minsize: 11 },
      xaxis: axis({ range: [...this.range], title: { text: "cycles", standoff: 4 }, tickformat: ",d", tickangle: 0,
        nticks: Math.max(3, Math.floor(this.element.clientWidth / 105)) }),
      yaxis: axis({
        range: [-0.55, rows + 0.55], fixedrange: true, showgrid: false, ticks: "",
        tickvals: [...this.lanes.keys(), rows], automargin: false,
        ticktext: [...this.lanes.map((lane) => lane.name).reverse(), "layer"],
      }),
    }];
  }

  async draw() {
    const [from, to] = this.range;
    this.drawn = `${from} ${to}`;
    const all = from < 0.5 && to > this.data.cycles - 0.5;
    this.show(`cycles ${group(from)} to ${group(to)}${all ? ", the whole image" : ""}`);
    await Plotly.react(this.element, ...this.figure(), chartOptions);
  }

  view(from, to) {
    const width = Math.min(Math.max(to - from, LEAST_CYCLES), this.data.cycles);
    const start = Math.min(Math.max(from, 0), this.data.cycles - width);
    this.range = [start, start + width];
    if (this.drawn !== `${start} ${start + width}`) this.draw();
  }

  move(what) {
    const [from, to] = this.range;
    const width = to - from;
    const moves = {
      whole: [0, this.data.cycles], left: [from - width / 3, to - width / 3],
      right: [from + width / 3, to + width / 3], in: [from + width / 4, to - width / 4],
      out: [from - width / 2, to + width / 2],
    };
    this.view(...moves[what]);
  }

  layer(index) {
    const found = this.data.layers.find(([, , layer]) => layer === index);
    if (!found) return this.move("whole");
    const margin = (found[1] - found[0]) * 0.06 + 4;
    return this.view(found[0] - margin, found[1] + margin);
  }

  async start() {
    await this.draw();
    this.element.on("plotly_relayout", (change) => {
      if (change["xaxis.autorange"]) this.move("whole");
      else if ("xaxis.range[0]" in change) this.view(change["xaxis.range[0]"], change["xaxis.range[1]"]);
    });
    this.element.on("plotly_doubleclick", () => this.move("whole"));
  }
}

function timelineControls(timeline) {
  const tools = document.querySelector(".tools");
  const select = document.getElementById("timeline-layer");
  for (const [, , layer] of timeline.data.layers) {
    select.add(new Option(timeline.names.get(layer)?.short ?? layer, layer));
  }
  select.addEventListener("change", () => (select.value === "" ? timeline.move("whole") : timeline.layer(Number(select.value))));
  tools.addEventListener("click", (event) => {
    const what = event.target.dataset.view;
    if (!what) return;
    if (what === "whole") select.value = "";
    timeline.move(what);
  });
  const keys = { ArrowLeft: "left", ArrowRight: "right", "+": "in", "=": "in", "-": "out", 0: "whole" };
  timeline.element.addEventListener("keydown", (event) => {
    if (!(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    timeline.move(keys[event.key]);
  });
  tools.hidden = false;
}
