const root = document.documentElement;
const NARROW_SPACE = "\u202f";

/* Plotly reads labels as its own kind of HTML: names are escaped before they get there. */
const escapeLabel = (text) =>
  String(text).replace(/[&<>]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[sign]);
const hoverText = (list) =>
  list.map((line, place) => (place ? escapeLabel(line) : `<b>${escapeLabel(line)}</b>`)).join("<br>");
const group = (value) =>
  Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, NARROW_SPACE);
const color = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
const finePointer = matchMedia("(pointer: fine)").matches;
const narrow = (element) => element.clientWidth < 560;

function baseLayout(element) {
  return {
    width: element.clientWidth, height: element.clientHeight, autosize: false,
    font: { family: getComputedStyle(document.body).fontFamily, size: 12.5, color: color("muted") },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
    margin: { l: 58, r: 14, t: 10, b: 30 }, separators: `.${NARROW_SPACE}`,
    hovermode: "closest", dragmode: finePointer ? "zoom" : false,
    hoverlabel: {
      bgcolor: color("panel"), bordercolor: color("muted"), align: "left",
      font: { color: color("ink"), size: 13 }, namelength: 0,
    },
  };
}

function axis(extra) {
  return {
    gridcolor: color("rule"), linecolor: color("muted"), zeroline: false, tickcolor: color("rule"),
    exponentformat: "none", separatethousands: true,
    automargin: true, fixedrange: false, ...extra,
  };
}

function layerAxis(element, layers) {
  const most = Math.max(4, Math.floor(element.clientWidth / (layers.length > 12 ? 44 : 64)));
  const every = Math.ceil(layers.length / most);
  const shown = layers.map((_, place) => place).filter((place) => place % every === 0);
  const longest = Math.max(...shown.map((place) => layers[place].short.length));
  const crowded = longest * 7.5 * shown.length > element.clientWidth - 80;
  return axis({
    tickvals: shown, ticktext: shown.map((place) => escapeLabel(layers[place].short)),
    tickangle: crowded ? -40 : 0, range: [-0.6, layers.length - 0.4], showgrid: false, ticks: "",
  });
}

const positions = (list) => list.map((_, place) => place);

function drawSnr(element, data, layers) {
  const dense = layers.length > 30;
  const line = (values, name, dash) => ({
    type: "scatter", mode: "lines+markers", x: positions(values), y: values, connectgaps: true,
    hovertext: data.hover.map(hoverText), hoverinfo: dash ? "skip" : "text",
    line: { color: color(name), width: dash ? 1.8 : 2.6, dash: dash || "solid" },
    marker: {
      size: dense ? 5 : 8, color: color(dash ? "ground" : name),
      line: { color: color(name), width: dash ? 1.8 : 0 },
    },
  });
  const traces = data.static ? [line(data.static, "static", "dash")] : [];
  return [[...traces, line(data.dynamic, "accent")], {
    ...baseLayout(element), hovermode: "x", xaxis: layerAxis(element, layers),
    yaxis: axis({ rangemode: "tozero", ticksuffix: " dB", fixedrange: true, nticks: 6 }),
  }];
}

function power(exponent) {
  if (exponent >= 0 && exponent <= 16) return group(2 ** exponent);
  if (exponent < 0 && exponent >= -16) return `1/${group(2 ** -exponent)}`;
  return `2<sup>${exponent < 0 ? "−" : ""}${Math.abs(exponent)}</sup>`;
}

function drawRibbon(element, data, layers) {
  const places = positions(layers);
  const known = places.filter((place) => data.high[place] !== null);
  const bars = (from, to, style) => ({
    type: "bar", x: known, base: known.map(from),
    y: known.map((place) => Math.max(to(place) - from(place), 0)),
    hovertext: known.map((place) => hoverText(data.hover[place])),
    hoverinfo: from === low ? "text" : "skip", textposition: "none",
    marker: { line: { width: 0 }, ...style },
  });
  const low = (place) => data.low[place];
  const high = (place) => data.high[place];
  const seen = (place) => Math.max(data.seen[place] ?? data.low[place], data.low[place]);
  const filled = (place) => Math.min(seen(place), high(place));
  const least = Math.floor(Math.min(...known.map(low)));
  const most = Math.ceil(Math.max(...known.map((place) => Math.max(high(place), seen(place)))));
  const stride = Math.max(1, Math.round((most - least) / 7));
  const ticks = [];
  for (let exponent = least; exponent <= most; exponent += 1) {
    if (exponent % stride === 0) ticks.push(exponent);
  }
  const octaves = [];
  for (let exponent = least; exponent <= most; exponent += 1) {
    octaves.push({
      type: "line", xref: "paper", x0: 0, x1: 1, y0: exponent, y1: exponent, layer: "above",
      line: { color: color("ground"), width: 1.5 },
    });
  }
  return [[
    bars(low, filled, { color: color("accent") }),
    bars(filled, high, { color: color("spare") }),
    bars(high, (place) => Math.max(seen(place), high(place)), { color: color("bad") }),
  ], {
    ...baseLayout(element), barmode: "overlay", hovermode: "x", bargap: layers.length > 16 ? 0.14 : 0.4, shapes: octaves,
    xaxis: layerAxis(element, layers),
    yaxis: axis({
      showgrid: false, tickvals: ticks, ticktext: ticks.map(power), range: [least - 0.3, most + 0.3],
      fixedrange: true,
    }),
  }];
}

const SYMBOLS = { array: "circle", DRAM: "diamond", vector: "square" };
const BOUND_COLORS = { array: "calc", DRAM: "load", vector: "vector" };

function drawRoofline(element, data) {
  const finite = data.points.filter((point) => point.x !== null).map((point) => point.x);
  const ridge = data.multipliers / data.bandwidth;
  const left = Math.min(...finite, ridge) / 6;
  const right = Math.max(...finite, ridge) * 6;
  const bottom = Math.min(...data.points.map((point) => point.y), data.multipliers / 10) / 2;
  const longest = Math.max(...data.points.map((point) => point.cycles));
  const large = [...data.points].sort((one, other) => other.cycles - one.cycles).slice(0, 8);
  const named = new Set(data.points.length > 12 || narrow(element) ? large.slice(0, 5) : data.points);
  const start = Math.max(left, bottom / data.bandwidth);
  const crowd = data.points.length > 20;
  const top = data.multipliers * 1.7;
  const edge = right / 1.6;
  const width = element.clientWidth - 72;
  const scale = width / Math.log10(right / left);
  const slope = Math.max(Math.sqrt(start * ridge), left * 10 ** (125 / scale));
  const pixel = {
    x: (value) => Math.log10((value ?? edge) / left) * scale,
    y: (value) => Math.log10(value / bottom) * (element.clientHeight - 68) / Math.log10(top / bottom),
  };
  const labeled = placeLabels(named, data, slope, pixel, width);
  const points = {
    type: "scatter", mode: "markers+text", textfont: { color: color("ink"), size: 12 },
    x: data.points.map((point) => point.x ?? edge), y: data.points.map((point) => point.y),
    text: data.points.map((point) => (labeled.has(point) ? escapeLabel(point.short) : "")),
    textposition: data.points.map((point) => labeled.get(point) || "top center"),
    cliponaxis: false, hovertext: data.points.map((point) => hoverText(point.hover)),
    hoverinfo: "text",
    marker: {
      size: data.points.map((point) => (crowd ? 6 : 9) + (crowd ? 11 : 19) * Math.sqrt(point.cycles / longest)),
      opacity: crowd ? 0.7 : 0.86,
      symbol: data.points.map((point) => SYMBOLS[point.bound] || "triangle-up"),
      color: data.points.map((point) => color(BOUND_COLORS[point.bound] || "other")),
      line: { color: color("ground"), width: 1.5 },
    },
  };
  const traces = [{
    type: "scatter", mode: "lines", x: [start, ridge, right],
    y: [start * data.bandwidth, data.multipliers, data.multipliers],
    line: { color: color("ink"), width: 2 }, hoverinfo: "skip", fill: "tozeroy",
    fillcolor: color("shade"),
  }, points];
  if (data.network) {
    traces.push({
      type: "scatter", mode: "markers", x: [data.network.x], y: [data.network.y],
      hovertext: [hoverText(data.network.hover)], hoverinfo: "text",
      marker: { symbol: "star", size: 17, color: color("ink"), line: { color: color("ground"), width: 1.5 } },
    });
  }
  const note = (text, x, y, extra) => ({
    text, x: Math.log10(x), y: Math.log10(y), showarrow: false, font: { size: 12.5, color: color("muted") },
    ...extra,
  });
  const free = data.points.some((point) => point.x === null);
  return [traces, {
    ...baseLayout(element), margin: { l: 58, r: 14, t: 22, b: 46 },
    xaxis: axis({
      type: "log", range: [Math.log10(left), Math.log10(right)], dtick: 1,
      title: { text: "MAC per DRAM byte", standoff: 8 },
    }),
    yaxis: axis({
      type: "log", range: [Math.log10(bottom), Math.log10(top)], dtick: 1,
      title: { text: "MAC per cycle", standoff: 8 },
    }),
    annotations: [
      note(`${group(data.multipliers)} multipliers`, right, data.multipliers, { xanchor: "right", yanchor: "bottom" }),
      ...(slope < ridge ? [note(`${group(data.bandwidth)} bytes a cycle`, slope,
        slope * data.bandwidth, { xanchor: "right", yanchor: "bottom", xshift: -10 })] : []),
      ...(free ? [note("no DRAM", edge, bottom, { yanchor: "bottom" })] : []),
    ],
  }];
}

/* Names go beside, below or above their point, or away when all places are taken. */
const LABEL_PLACES = {
  slope: [["middle right", 1, 0], ["bottom center", 0, -19], ["top center", 0, 19]],
  roof: [["bottom center", 0, -19], ["top center", 0, 19], ["middle right", 1, 0]],
};

const around = (x, y, width, height) => [x - width, x + width, y - height, y + height];

function placeLabels(points, { network, multipliers: roof, bandwidth }, slope, pixel, width) {
  const taken = [[width - 115, width, pixel.y(roof), pixel.y(roof) + 20]];
  taken.push([pixel.x(slope) - 122, pixel.x(slope), pixel.y(slope * bandwidth), pixel.y(slope * bandwidth) + 18]);
  if (network) taken.push(around(pixel.x(network.x), pixel.y(network.y), 9, 9));
  const placed = new Map();
  for (const point of [...points].sort((one, other) => other.cycles - one.cycles)) {
    const [x, y] = [pixel.x(point.x), pixel.y(point.y)];
    const half = point.short.length * 3.6 + 3;
    const places = LABEL_PLACES[point.y < roof / 2 ? "slope" : "roof"];
    for (const [position, right, up] of places) {
      const middle = x + right * (half + 14);
      const box = around(middle, y + up, half, 9);
      const free = box[1] < width && taken.every((other) =>
        box[1] < other[0] || box[0] > other[1] || box[3] < other[2] || box[2] > other[3]);
      if (free) {
        taken.push(box, around(x, y, 8, 8));
        placed.set(point, position);
        break;
      }
    }
  }
  return placed;
}

const STREAM_COLORS = { weights: "load", maps_in: "stream-in", maps_out: "save", program: "other" };

function drawDram(element, data, layers) {
  const top = Math.max(...layers.map((_, place) =>
    data.streams.reduce((sum, stream) => sum + stream.bytes[place], 0)));
  const [unit, divisor] = top >= 2 ** 20 ? ["MiB", 2 ** 20] : top >= 4096 ? ["KiB", 1024] : ["B", 1];
  const traces = data.streams.map((stream, place) => ({
    type: "bar", x: positions(layers), y: stream.bytes.map((bytes) => bytes / divisor),
    hovertext: data.hover.map(hoverText), hoverinfo: place ? "skip" : "text", textposition: "none",
    marker: { color: color(STREAM_COLORS[stream.key]), line: { color: color("ground"), width: layers.length > 40 ? 0 : 1 } },
  }));
  return [traces, {
    ...baseLayout(element), barmode: "stack", hovermode: "x", bargap: layers.length > 16 ? 0.2 : 0.5, xaxis: layerAxis(element, layers),
    yaxis: axis({ ticksuffix: ` ${unit}`, fixedrange: true, nticks: 6, rangemode: "tozero" }),
  }];
}
