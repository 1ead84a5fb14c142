// Draws the report from the data in the page (report_data.h says what they hold): series with dygraphs, the rest with d3.
'use strict';
(() => {
const data = JSON.parse(document.getElementById('data').textContent);
const root = document.getElementById('report');
root.replaceChildren();

// ---- elements ----------------------------------------------------------------------------------------------------

const el = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (name === 'style') node.style.cssText = value;
    else if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter(child => child !== null && child !== undefined));
  return node;
};
const color = name => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();
const capital = text => text.charAt(0).toUpperCase() + text.slice(1);
const measureName = name => ({mae: 'MAE', mse: 'MSE', rmse: 'RMSE', r2: 'R²', auc: 'AUC'})[name] ?? name.replaceAll('_', ' ');

/// Four digits, thousands set apart: 12 340, 0.0318, −1.2e-5.
const number = (value, digits = 4) => plainNumber(value, digits).replaceAll('-', '−');
const plainNumber = (value, digits) => {
  if (value === null || value === undefined || !isFinite(value)) return '–';
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e9 || size < 1e-4) return value.toExponential(Math.min(digits - 1, 2)).replace('e+', 'e');
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  const text = value.toFixed(Math.min(decimals, 8));
  const [whole, part] = text.split('.');
  return (size >= 1e4 ? whole.replace(/\B(?=(\d{3})+(?!\d))/g, '\u202f') : whole) + (part ? '.' + part : '');
};
const short = value => number(value, 3).replace(/(\.\d*?)0+$/, '$1').replace(/\.$/, '');
const percent = (value, digits = 0) => (100 * value).toFixed(digits) + '\u202f%';
const bytes = value => {
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (Math.abs(value) < 1024 || unit === 'GiB') return short(value) + '\u202f' + unit;
    value /= 1024;
  }
};

const sections = [];
const section = (id, title, note, ...children) => {
  const node = el('section', {id}, el('h2', {}, title), note ? el('p', {class: 'note'}, note) : null, ...children);
  sections.push([id, title]);
  root.append(node);
  return node;
};
const figure = (title, note, wide = false) => {
  const caption = el('figcaption', {}, el('h3', {}, title), note ? el('p', {class: 'note'}, note) : null);
  return el('figure', {class: wide ? 'wide' : null}, caption);
};
const table = (head, rows, classes = () => null) =>
  el('div', {class: 'scroll'}, el('table', {},
    el('thead', {}, el('tr', {}, head.map(h => el('th', {class: h.class}, h.text ?? h)))),
    el('tbody', {}, rows.map((row, i) => el('tr', {class: classes(i)}, row.map((cell, k) =>
      el('td', {class: head[k].class}, cell instanceof Node ? cell : String(cell))))))));

// Charts are drawn again where the colours or the width change.
const redraws = [];
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => redraws.forEach(draw => draw()));
const whenSized = (node, draw) => {
  let width = 0;
  redraws.push(() => { if (width > 0) draw(width); });
  new ResizeObserver(() => {
    const now = Math.floor(node.clientWidth);
    if (now > 0 && now !== width) { width = now; draw(now); }
  }).observe(node);
};

// ---- series: dygraphs ----------------------------------------------------------------------------------------------

/// A finger that moves over a chart scrolls the page; two fingers zoom and move the chart.
const interaction = () => {
  const model = Object.assign({}, Dygraph.defaultInteractionModel);
  model.touchstart = (event, chart, context) => {
    if (event.touches.length >= 2) Dygraph.defaultInteractionModel.touchstart(event, chart, context);
  };
  return model;
};

/// Series over x. `series` is [{name, color, values, width, dash, hidden, points}]; the legend shows values under the pointer
/// and hides and shows series. Options: isTime, xTitle, yTitle, xText, height, log, selector, window, underlay, onRange.
const chartSeries = (parent, x, series, options = {}) => {
  const legend = el('div', {class: 'legend'});
  const box = el('div', {class: 'chart', style: `height:${options.height ?? 240}px`});
  parent.append(legend, el('div', {class: 'axis-title'}, options.yTitle ?? ''), box);
  const entries = series.map((one, i) => {
    const swatch = el('i'), value = el('b');
    const button = el('button', {type: 'button', 'aria-pressed': String(!one.hidden), onclick: () => {
      const shown = button.getAttribute('aria-pressed') !== 'true';
      button.setAttribute('aria-pressed', String(shown));
      chart.setVisibility(i, shown);
    }}, swatch, one.name, value);
    legend.append(button);
    return {swatch, value};
  });
  const stamp = el('span', {style: 'color:var(--muted)'});
  legend.append(stamp);
  const xText = options.xText ?? (options.isTime
    ? value => new Date(value).toISOString().slice(0, 16).replace('T', ' ')
    : value => (options.xName ? options.xName + ' ' : '') + value);
  const rows = x.map((value, i) => [options.isTime ? new Date(value) : value, ...series.map(one => one.values[i])]);
  const look = () => ({
    colors: series.map(one => color(one.color)),
    gridLineColor: color('grid'), axisLineColor: color('rule'),
    rangeSelectorPlotStrokeColor: color('line'), rangeSelectorPlotFillColor: color('rule'),
    rangeSelectorPlotFillGradientColor: color('page'),
    rangeSelectorBackgroundStrokeColor: color('rule'), rangeSelectorForegroundStrokeColor: color('line'),
    // What is not selected is veiled in a light grey that dygraphs does not let one choose.
    rangeSelectorAlpha: matchMedia('(prefers-color-scheme: dark)').matches ? 0.14 : 0.75,
  });
  const paintLegend = () => series.forEach((one, i) => { entries[i].swatch.style.background = color(one.color); });
  const settings = {
    labels: ['x', ...series.map(one => one.name)],
    visibility: series.map(one => !one.hidden),
    series: Object.fromEntries(series.map(one => [one.name, {
      strokeWidth: one.width ?? 1.6, strokePattern: one.dash ?? null, drawPoints: one.points ?? false,
      pointSize: one.pointSize ?? 2, connectSeparatedPoints: true,
    }])),
    labelsUTC: true, legend: 'never', highlightCircleSize: 3.5, xRangePad: 4, xlabel: options.xTitle ?? null, xLabelHeight: 20,
    axisLabelFontSize: 12, interactionModel: interaction(), animatedZooms: false, includeZero: options.zero ?? false,
    axes: {
      y: {axisLabelWidth: 52, pixelsPerLabel: 32, axisLabelFormatter: value => short(value)},
      x: options.isTime ? {pixelsPerLabel: 70} : {
        pixelsPerLabel: 60, axisLabelFormatter: value => Number.isInteger(value) ? String(value) : ''},
    },
    logscale: options.log ?? false,
    showRangeSelector: options.selector ?? false, rangeSelectorHeight: 34,
    underlayCallback: options.underlay ?? null,
    highlightCallback: (event, at, points) => {
      const row = chart.getSelection();
      if (row < 0) return;
      stamp.textContent = xText(chart.getValue(row, 0));
      series.forEach((one, i) => {
        const value = chart.getValue(row, i + 1);
        entries[i].value.textContent = chart.visibility()[i] && value !== null ? number(value) : '';
      });
    },
    unhighlightCallback: () => { stamp.textContent = ''; entries.forEach(entry => { entry.value.textContent = ''; }); },
    drawCallback: (drawn, initial) => { if (!initial && options.onRange) options.onRange(drawn.xAxisRange()); },
    ...look(),
  };
  if (options.window) settings.dateWindow = options.window;
  paintLegend();
  const chart = new Dygraph(box, rows, settings);
  box.chart = chart;
  redraws.push(() => { paintLegend(); chart.updateOptions(look()); });
  new ResizeObserver(() => chart.resize()).observe(box);
  return chart;
};

// ---- other charts: d3 -----------------------------------------------------------------------------------------------

/// Axes and grid of one chart; `draw(frame)` fills it in.
const chartFrame = (parent, options, draw) => {
  const box = el('div', {class: 'chart'});
  parent.append(box);
  whenSized(box, width => {
    box.replaceChildren();
    const margin = Object.assign({top: 24, right: 10, bottom: 42, left: 52}, options.margin);
    const height = options.square ? Math.min(width, 420) : options.height ?? 270;
    const w = width - margin.left - margin.right, h = height - margin.top - margin.bottom;
    const svg = d3.select(box).append('svg').attr({width, height, role: 'img', 'aria-label': options.label ?? options.yTitle ?? ''});
    const g = svg.append('g').attr('transform', `translate(${margin.left},${margin.top})`);
    const x = options.x(w), y = options.y(h);
    const xAxis = d3.svg.axis().scale(x).orient('bottom').tickSize(options.xGrid ? -h : 0).tickPadding(7);
    const yAxis = d3.svg.axis().scale(y).orient('left').tickSize(-w).tickPadding(7).ticks(options.yTicks ?? 5);
    if (options.xTickValues) xAxis.tickValues(options.xTickValues(w)); else xAxis.ticks(Math.max(3, Math.floor(w / 70)));
    if (options.yTickValues) yAxis.tickValues(options.yTickValues);
    xAxis.tickFormat(options.xFormat ?? short);
    yAxis.tickFormat(options.yFormat ?? short);
    g.append('g').attr({class: 'axis', transform: `translate(0,${h})`}).call(xAxis);
    g.append('g').attr('class', 'axis').call(yAxis);
    svg.append('text').attr({class: 'title', x: 0, y: 12}).text(options.yTitle ?? '');
    svg.append('text').attr({class: 'title', x: margin.left + w / 2, y: height - 4, 'text-anchor': 'middle'}).text(options.xTitle ?? '');
    draw({g, x, y, w, h});
  });
  return box;
};
const linear = (low, high, nice = true) => size => {
  const scale = d3.scale.linear().domain([low, high]).range([0, size]);
  return nice ? scale.nice() : scale;
};
const linearUp = (low, high, nice = true) => size => {
  const scale = d3.scale.linear().domain([low, high]).range([size, 0]);
  return nice ? scale.nice() : scale;
};
const legendOf = items => el('div', {class: 'legend'}, items.map(item =>
  el('span', {}, el('i', {class: item.kind ?? null, style: `background:var(--${item.color})`}), item.name)));

const scatter = (parent, xs, ys, options) => {
  const most = 3000, step = Math.max(1, Math.ceil(xs.length / most));
  const points = [];
  for (let i = 0; i < xs.length; i += step) if (xs[i] !== null && ys[i] !== null) points.push([xs[i], ys[i]]);
  if (step > 1) parent.querySelector('figcaption').append(el('p', {class: 'note'}, `Every ${step}th of ${xs.length} samples.`));
  const bounds = values => [d3.min(values), d3.max(values)];
  let [lx, hx] = bounds(points.map(p => p[0])), [ly, hy] = bounds(points.map(p => p[1]));
  if (options.same) { lx = ly = Math.min(lx, ly); hx = hy = Math.max(hx, hy); }
  if (options.symmetric) { hy = Math.max(Math.abs(ly), Math.abs(hy)); ly = -hy; }
  chartFrame(parent, {...options, x: linear(lx, hx), y: linearUp(ly, hy), xGrid: true, height: 340}, f => {
    const line = options.same
      ? [Math.max(f.x.domain()[0], f.y.domain()[0]), Math.min(f.x.domain()[1], f.y.domain()[1])].map(v => [f.x(v), f.y(v)])
      : [[0, f.y(0)], [f.w, f.y(0)]];
    f.g.selectAll('circle').data(points).enter().append('circle')
      .attr({cx: p => f.x(p[0]), cy: p => f.y(p[1]), r: points.length > 800 ? 2 : 2.8, fill: color('accent'), 'fill-opacity': points.length > 800 ? 0.35 : 0.55});
    f.g.append('line').attr({x1: line[0][0], y1: line[0][1], x2: line[1][0], y2: line[1][1], stroke: color('ink'), 'stroke-width': 1.2, 'stroke-dasharray': '5 4'});
  });
};

// ---- overview -------------------------------------------------------------------------------------------------------

root.append(el('header', {}, el('h1', {}, capital(data.title)), el('p', {class: 'subtitle'}, data.subtitle)));
const nav = el('nav', {'aria-label': 'Sections'});
root.append(nav);
root.append(el('div', {class: 'tiles'}, data.tiles.map(tile => el('div', {class: 'tile'},
  el('div', {class: 'label'}, capital(tile.label)), el('div', {class: 'value'}, tile.value.replace('-', '−')),
  el('div', {class: 'tile-note'}, tile.note)))));
root.append(el('div', {class: 'findings'}, data.findings.map(finding => el('div', {class: 'finding ' + finding.kind},
  el('h3', {}, finding.title), el('p', {}, finding.text)))));

// ---- learning -------------------------------------------------------------------------------------------------------

const learning = data.learning;
const measures = Object.keys(learning.series).filter(name => !name.startsWith('val_'));
if (measures.length > 0 && learning.series[measures[0]].length > 0) {
  const best = learning.best_epoch, last = learning.series[measures[0]].length;
  let note = best > 0 ? `The best epoch is ${best}` : '';
  if (note && learning.monitor) note += `, by ${learning.monitor}`;
  if (learning.stopped_early) note += `; training stopped early after epoch ${last}`;
  if (note) note += '. ';
  note += 'Training values are means over an epoch while the weights change; validation follows each epoch.';
  const charts = [];
  const toggle = el('button', {type: 'button', 'aria-pressed': 'false', onclick: () => {
    const on = toggle.getAttribute('aria-pressed') !== 'true';
    toggle.setAttribute('aria-pressed', String(on));
    charts.forEach(chart => chart.updateOptions({logscale: on}));
  }}, 'Logarithmic scale');
  const grid = el('div', {class: measures.length > 1 ? 'grid' : ''});
  section('learning', 'Learning', null, el('div', {class: 'row'}, el('p', {class: 'note'}, note), el('div', {class: 'buttons'}, toggle)), grid);
  const epochs = d3.range(1, last + 1);
  const mark = (context, area, chart) => {
    const line = (epoch, text, name, dash, row) => {
      const x = chart.toDomXCoord(epoch);
      context.save();
      context.strokeStyle = context.fillStyle = color(name);
      context.setLineDash(dash);
      context.beginPath();
      context.moveTo(x, area.y);
      context.lineTo(x, area.y + area.h);
      context.stroke();
      context.font = '12px system-ui, sans-serif';
      const before = x - area.x > 70;
      context.textAlign = before ? 'right' : 'left';
      context.setLineDash([]);
      context.lineWidth = 4;
      context.strokeStyle = color('page');
      context.strokeText(text, x + (before ? -5 : 5), area.y + 12 + 16 * row);
      context.fillText(text, x + (before ? -5 : 5), area.y + 12 + 16 * row);
      context.restore();
    };
    if (best > 0) line(best, 'best: ' + best, 'good', [4, 3], 0);
    if (learning.stopped_early && last !== best) line(last, 'stopped', 'warm', [2, 3], 1);
  };
  for (const name of measures) {
    const training = learning.series[name], validation = learning.series['val_' + name];
    const fig = figure(capital(measureName(name)), null);
    grid.append(fig);
    const series = [{name: 'training', color: 'accent', values: training}];
    if (validation) series.push({name: 'validation', color: 'warm', values: validation, width: 2});
    const chart = chartSeries(fig, epochs, series,
      {xTitle: 'epoch', xName: 'epoch', underlay: mark, height: measures.length > 1 ? 240 : 300});
    if (series.every(one => one.values.every(value => value === null || value > 0))) charts.push(chart);
  }
  if (charts.length === 0) toggle.hidden = true;
}

// ---- predictions of numbers -----------------------------------------------------------------------------------------

const withUnit = target => target.label + (target.unit ? `, ${target.unit}` : '');

const drawSeries = (parent, target) => {
  const residuals = target.actual.map((value, i) => value === null || target.predicted[i] === null ? null : value - target.predicted[i]);
  const step = target.x.length > 1 ? (target.x[target.x.length - 1] - target.x[0]) / (target.x.length - 1) : 1;
  const first = target.x[0], end = target.x[target.x.length - 1];
  const day = 86400000;
  const spans = target.is_time && step <= day / 2 ? [['Day', day], ['Week', 7 * day], ['Month', 30 * day]]
    : target.is_time && step <= 7 * day ? [['Month', 30 * day], ['Quarter', 91 * day], ['Year', 365 * day]]
    : [['50', 50 * step], ['200', 200 * step], ['1000', 1000 * step]];
  const usable = spans.filter(([, span]) => span < end - first);
  const opening = usable.length > 1 ? usable[1][1] : null;
  const fig = figure('Actual and predicted', target.horizon_text ? `Every forecast was made ${target.horizon_text} before.` : null, true);
  const buttons = el('div', {class: 'buttons'});
  const names = Object.keys(target.baselines), colors = ['teal', 'violet', 'warm', 'line', 'good'];
  const series = [{name: 'actual', color: 'actual', values: target.actual, width: 1.5},
    {name: 'predicted', color: 'accent', values: target.predicted, width: 1.8},
    ...names.map((name, i) => ({name, color: colors[i % colors.length], values: target.baselines[name], width: 1.2, dash: [5, 3], hidden: true}))];
  fig.append(el('div', {class: 'row'}, buttons, el('p', {class: 'hint'},
    matchMedia('(pointer: coarse)').matches ? 'Two fingers enlarge and move; names switch series.'
      : 'Drag to enlarge, shift and drag to move, double-click for all; names switch series.')));
  let busy = false;
  const follow = other => range => {
    if (busy) return;
    busy = true;
    other().updateOptions({dateWindow: range});
    busy = false;
  };
  parent.append(fig);
  const main = chartSeries(fig, target.x, series, {isTime: target.is_time, xName: 'row', yTitle: withUnit(target), height: 360,
    selector: true, window: opening ? [end - opening, end] : null, onRange: follow(() => below)});
  const lower = figure('Residuals over time', 'Actual minus predicted, over the same span as above.', true);
  parent.append(lower);
  const below = chartSeries(lower, target.x, [{name: 'residual', color: 'warm', values: residuals, width: 1.2}],
    {isTime: target.is_time, xName: 'row', yTitle: 'residual' + (target.unit ? ', ' + target.unit : ` (${target.label})`), height: 190,
      window: opening ? [end - opening, end] : null, zero: true, underlay: (context, area, chart) => {
        const y = Math.round(chart.toDomYCoord(0)) + 0.5;
        context.save();
        context.strokeStyle = color('line');
        context.beginPath();
        context.moveTo(area.x, y);
        context.lineTo(area.x + area.w, y);
        context.stroke();
        context.restore();
      }, onRange: follow(() => main)});
  const go = (from, to) => main.updateOptions({dateWindow: [from, to]});
  const button = (text, title, act) => buttons.append(el('button', {type: 'button', title, onclick: act}, text));
  const move = share => {
    const [a, b] = main.xAxisRange();
    const by = Math.max(first - a, Math.min(end - b, share * (b - a)));
    go(a + by, b + by);
  };
  const around = span => {
    const [a, b] = main.xAxisRange();
    const middle = Math.min(Math.max((a + b) / 2, first + span / 2), end - span / 2);
    go(middle - span / 2, middle + span / 2);
  };
  button('‹', 'Earlier', () => move(-0.8));
  button('›', 'Later', () => move(0.8));
  for (const [text, span] of usable) button(text, `Show one ${text.toLowerCase()}`, () => around(span));
  button('All', 'Show all', () => go(first, end));
};

const drawErrors = (parent, target) => {
  const grid = el('div', {class: 'grid'});
  parent.append(grid);
  const of = target.unit ? `, ${target.unit}` : '';
  const actualFig = figure('Predicted against actual', 'On the dashed line predictions are exact.');
  grid.append(actualFig);
  scatter(actualFig, target.actual, target.predicted, {same: true, xTitle: 'actual' + of, yTitle: 'predicted' + of});
  const residuals = target.actual.map((value, i) => value === null || target.predicted[i] === null ? null : value - target.predicted[i]);
  const residualFig = figure('Residuals by predicted value', 'A funnel or a bend says that the error depends on the level.');
  grid.append(residualFig);
  scatter(residualFig, target.predicted, residuals, {symmetric: true, xTitle: 'predicted' + of, yTitle: 'actual − predicted' + of});

  const h = target.histogram;
  if (h) {
    const fig = figure('Distribution of residuals', `Mean ${number(h.mean)}, standard deviation ${number(h.deviation)}; ` +
      `nine of ten lie between ${number(h.q05)} and ${number(h.q95)}.`);
    grid.append(fig);
    fig.append(legendOf([{name: 'residuals', color: 'accent', kind: 'block'}, {name: 'normal distribution of the same mean and deviation', color: 'ink'}]));
    const total = d3.sum(h.counts), high = h.low + h.width * h.counts.length;
    const normal = v => total * h.width / (h.deviation * Math.sqrt(2 * Math.PI)) * Math.exp(-0.5 * ((v - h.mean) / h.deviation) ** 2);
    const top = Math.max(d3.max(h.counts), h.deviation > 0 ? normal(h.mean) : 0);
    chartFrame(fig, {x: linear(h.low, high, false), y: linearUp(0, top), xTitle: 'actual − predicted' + of, yTitle: 'samples'}, f => {
      f.g.selectAll('rect').data(h.counts).enter().append('rect').attr({
        x: (c, i) => f.x(h.low + i * h.width) + 0.5, y: c => f.y(c), width: Math.max(1, f.w / h.counts.length - 1),
        height: c => f.h - f.y(c), fill: color('accent'), 'fill-opacity': 0.75})
        .append('title').text((c, i) => `${number(h.low + i * h.width)} to ${number(h.low + (i + 1) * h.width)}: ${c}`);
      if (h.deviation > 0) {
        const line = d3.svg.line().x(v => f.x(v)).y(v => f.y(normal(v)));
        f.g.append('path').attr({d: line(d3.range(101).map(i => h.low + (high - h.low) * i / 100)), fill: 'none', stroke: color('ink'), 'stroke-width': 1.3});
      }
      if (h.low < 0 && high > 0) f.g.append('line').attr({class: 'zero', x1: f.x(0), x2: f.x(0), y1: 0, y2: f.h});
    });
  }

  const a = target.autocorrelation;
  if (a) {
    const hours = a.step > 0 && a.step % 3600 === 0 ? a.step / 3600 : 0, days = a.step > 0 && a.step % 86400 === 0 ? a.step / 86400 : 0;
    const unit = days ? 'days' : hours ? 'hours' : 'samples', each = days || hours || 1;
    const p = a.p_value < 0.001 ? 'p < 0.001' : 'p = ' + number(a.p_value, 2);
    const fig = figure('Autocorrelation of residuals', `Ljung-Box test over ${a.lags} lags: Q = ${number(a.statistic)}, ${p}. ` +
      'In the shaded band (95 %) they could be noise.' + (a.overlap > 0 ? ` Up to lag ${a.overlap}, overlapping forecasts explain it.` : ''));
    grid.append(fig);
    const low = Math.min(-1.6 * a.band, d3.min(a.r)), high = Math.max(1.6 * a.band, d3.max(a.r));
    const ticks = w => {
      const wanted = each * a.r.length / Math.max(3, w / 50);
      const step = [1, 2, 4, 5, 6, 10, 12, 20, 24, 48, 50, 100].find(s => s >= wanted) ?? 100;
      return d3.range(0, each * a.r.length + 1e-9, step).slice(a.r.length > 1 ? 1 : 0);
    };
    chartFrame(fig, {x: linear(0, each * (a.r.length + 0.5), false), y: linearUp(low, high), xTitle: `lag, ${unit}`, yTitle: 'autocorrelation', xTickValues: ticks}, f => {
      f.g.append('rect').attr({x: 0, width: f.w, y: f.y(a.band), height: f.y(-a.band) - f.y(a.band), fill: color('accent'), 'fill-opacity': 0.13});
      f.g.append('line').attr({class: 'zero', x1: 0, x2: f.w, y1: f.y(0), y2: f.y(0)});
      f.g.selectAll('.lag').data(a.r).enter().append('line').attr({class: 'lag', x1: (r, i) => f.x(each * (i + 1)), x2: (r, i) => f.x(each * (i + 1)),
        y1: f.y(0), y2: r => f.y(r), stroke: r => color(Math.abs(r) > a.band ? 'accent' : 'line'), 'stroke-width': Math.max(2, Math.min(6, f.w / a.r.length - 3))})
        .append('title').text((r, i) => `lag ${each * (i + 1)}: ${number(r, 3)}`);
    });
  }

  const byHour = target.by_hour;
  if (byHour) {
    const fig = figure('Error by hour of day', 'When forecasts are wrong, by the hour they are for.');
    grid.append(fig);
    fig.append(legendOf([{name: 'model', color: 'accent', kind: 'block'},
      ...(byHour.baseline ? [{name: target.best_baseline, color: 'teal'}] : [])]));
    const top = d3.max([...byHour.mae, ...(byHour.baseline ?? [])]);
    chartFrame(fig, {x: linear(0, 24, false), y: linearUp(0, top), xTitle: 'hour of day', yTitle: 'mean absolute error' + (of || ` (${target.label})`),
      xTickValues: () => [0, 3, 6, 9, 12, 15, 18, 21, 24]}, f => {
      const width = f.w / 24;
      f.g.selectAll('rect').data(byHour.mae).enter().append('rect').attr({x: (v, i) => f.x(i) + 1, width: Math.max(1, width - 2), y: v => f.y(v ?? 0),
        height: v => f.h - f.y(v ?? 0), fill: color('accent'), 'fill-opacity': 0.8})
        .append('title').text((v, i) => `${i}:00 to ${i}:59: ${number(v)}, bias ${number(byHour.bias[i], 3)}, ${byHour.count[i]} samples`);
      if (byHour.baseline)
        f.g.selectAll('.base').data(byHour.baseline).enter().append('line').attr({class: 'base', x1: (v, i) => f.x(i) + 1, x2: (v, i) => f.x(i + 1) - 1,
          y1: v => f.y(v ?? 0), y2: v => f.y(v ?? 0), stroke: color('teal'), 'stroke-width': 2});
    });
  }
  if (grid.children.length % 2 === 1) grid.lastChild.style.gridColumn = '1 / -1';
};

const errorTable = target => {
  const rows = target.errors;
  const best = rows.reduce((a, b) => (b.mae ?? Infinity) < (a.mae ?? Infinity) ? b : a);
  const own = rows[0].mae;
  return table([{text: data.part + ' part', class: 'text'}, 'mean absolute error', 'root mean square', 'R²', {text: 'bias', class: 'narrow-hidden'},
      {text: 'samples', class: 'narrow-hidden'}, 'against the model'],
    rows.map(row => [row.is_baseline ? row.name : 'the model', number(row.mae), number(row.rmse), row.r2 === null ? '–' : row.r2.toFixed(3).replace('-', '−'),
      number(row.bias, 3), String(row.samples), row.is_baseline && own > 0 ? (row.mae >= own ? '+' : '−') + percent(Math.abs(row.mae / own - 1)) : '']),
    i => (rows[i] === best ? 'best' : '') + (rows[i].is_baseline ? ' baseline' : ''));
};

if (data.targets.length > 0) {
  const body = el('div');
  const horizon = data.targets[0].horizon_text;
  const note = `The ${data.part} part has ${data.targets[0].samples} samples` + (horizon ? `, each predicted ${horizon} ahead` : '') +
    (data.targets[0].first > 0 ? `; the charts show the newest ${data.targets[0].x.length}, the statistics are of all` : '') + '.';
  const chooser = data.targets.length < 2 ? null : el('select', {'aria-label': 'Which output', onchange: () => show(Number(chooser.value))},
    data.targets.map((target, i) => el('option', {value: i}, target.label)));
  section('predictions', 'Predictions', null, el('div', {class: 'row'}, el('p', {class: 'note'}, note), chooser), body);
  const drawn = [];
  const show = i => {
    drawn.forEach((node, k) => { node.hidden = k !== i; });
    if (drawn[i]) return;
    const target = data.targets[i], node = el('div');
    drawn[i] = node;
    body.append(node);
    node.append(errorTable(target));
    if (target.ordered) drawSeries(node, target);
    drawErrors(node, target);
  };
  show(0);
}

for (const wide of data.by_place) {
  const names = Object.keys(wide.places[0]?.baselines ?? {});
  const fig = figure(wide.is_step ? 'Error by horizon' : 'Error by output', wide.is_step ? 'Mean absolute error for every step of the forecast.' : null, true);
  document.getElementById('predictions')?.append(fig);
  const colors = ['teal', 'violet', 'warm', 'line', 'good'];
  if (wide.is_step) {
    chartSeries(fig, wide.places.map((p, i) => i + 1), [{name: 'model', color: 'accent', values: wide.places.map(p => p.mae), width: 2},
      ...names.map((name, i) => ({name, color: colors[i % colors.length], values: wide.places.map(p => p.baselines[name]), dash: [5, 3]}))],
      {xTitle: 'step', xName: 'step', yTitle: 'mean absolute error', height: 260, zero: true});
  } else {
    fig.append(table([{text: 'output', class: 'text'}, 'mean absolute error', 'root mean square', ...names],
      wide.places.map(p => [p.label, number(p.mae), number(p.rmse), ...names.map(name => number(p.baselines[name]))])));
  }
}

// ---- classes --------------------------------------------------------------------------------------------------------

for (const one of data.classes) {
  const several = data.classes.length > 1 ? ` of ${one.name}` : '';
  const node = section(several ? 'classes-' + one.name : 'classes', 'Classes' + several,
    `${one.samples} samples of the ${data.part} part; ${percent(one.accuracy, 1)} are right, log loss ${number(one.log_loss)}.`);
  const grid = el('div', {class: 'grid'});
  node.append(grid);
  const matrix = figure('Confusion matrix', 'Rows are what the samples are, columns what they were taken for; shares are of the row.');
  const dense = one.classes.length > 8;
  const head = el('tr', {}, el('th'), one.classes.map(name => el('th', {}, name)));
  const body = one.confusion.map((row, i) => {
    const sum = d3.sum(row);
    return el('tr', {}, el('th', {}, one.classes[i]), row.map((count, k) => {
      const share = sum > 0 ? count / sum : 0;
      return el('td', {style: `background:color-mix(in srgb, var(--${i === k ? 'accent' : 'warm'}) ${(8 + 72 * share).toFixed(0)}%, var(--page));` +
        (share > 0.55 ? 'color:var(--page)' : ''), title: `${one.classes[i]} taken for ${one.classes[k]}: ${count}`},
        String(count), el('small', {}, percent(share, 1)));
    }));
  });
  matrix.append(el('div', {class: 'scroll'}, el('table', {class: 'confusion' + (dense ? ' dense' : '')}, el('thead', {}, head), el('tbody', {}, body))));
  const scores = figure('Scores by class', null);
  scores.append(table([{text: 'class', class: 'text'}, 'precision', 'recall', 'F1', 'samples'],
    one.scores.map(s => [s.class, number(s.precision, 3), number(s.recall, 3), number(s.f1, 3), String(s.support)])));
  grid.append(matrix, scores);
  const palette = ['accent', 'warm', 'good', 'violet', 'teal', 'bad', 'line', 'actual'];
  const curves = one.curves.filter(curve => curve.roc.length > 0);
  if (curves.length === 0) continue;
  const drawCurve = (title, note, key, xTitle, yTitle, value, reference) => {
    const fig = figure(title, note);
    grid.append(fig);
    if (curves.length <= 12) fig.append(legendOf(curves.map((curve, i) => ({name: `${curve.class} (${value(curve)})`, color: palette[i % palette.length]}))));
    chartFrame(fig, {x: linear(0, 1), y: linearUp(0, 1), xTitle, yTitle, xGrid: true, square: true}, f => {
      const line = d3.svg.line().x(p => f.x(p[0])).y(p => f.y(p[1]));
      for (const dashed of reference)
        f.g.append('path').attr({d: line(dashed), fill: 'none', stroke: color('line'), 'stroke-dasharray': '5 4'});
      curves.forEach((curve, i) => f.g.append('path').attr({d: line(curve[key]), fill: 'none', stroke: color(palette[i % palette.length]), 'stroke-width': 2, 'stroke-linejoin': 'round'}));
    });
  };
  drawCurve('ROC curve', 'The dashed line is a coin toss; in brackets the area under the curve.', 'roc', 'false positive rate', 'true positive rate',
    curve => number(curve.roc_auc, 3), [[[0, 0], [1, 1]]]);
  drawCurve('Precision and recall', 'In brackets the average precision; the dashed line is the share of the class' + (curves.length > 1 ? 'es.' : '.'), 'pr', 'recall', 'precision',
    curve => number(curve.average_precision, 3), curves.map(curve => [[0, curve.share], [1, curve.share]]));
}

// ---- all metrics ----------------------------------------------------------------------------------------------------

if (data.metrics.length > 0) {
  const names = [...new Set(data.metrics.flatMap(row => Object.keys(row.values)))];
  section('metrics', 'Metrics by part', 'Of the weights that were kept, in the units of the data.',
    table([{text: 'part', class: 'text'}, {text: 'samples', class: 'narrow-hidden'}, ...names.map(measureName)],
      data.metrics.map(row => [row.name, row.samples === undefined ? '–' : String(row.samples), ...names.map(name => number(row.values[name]))])));
}

// ---- model ----------------------------------------------------------------------------------------------------------

const summary = data.model.summary;
if (summary) {
  const totals = summary.parameters;
  const shape = layer => layer.outputs.map(output => output.dims.slice(1).join(' × ') || '1').join('; ');
  const rows = [];
  const collect = (layers, depth) => layers.forEach(layer => {
    rows.push(['\u00a0'.repeat(2 * depth) + layer.name, layer.class, shape(layer), layer.parameters ? layer.parameters.toLocaleString('en').replaceAll(',', '\u202f') : '–']);
    if (layer.layers) collect(layer.layers, depth + 1);
  });
  // In the order of the data's way through them.
  const byName = new Map(summary.layers.map(layer => [layer.name, layer])), depths = new Map();
  const depth = layer => {
    if (!depths.has(layer.name)) {
      depths.set(layer.name, 0);
      const sources = layer.connected_to.map(text => byName.get(text.slice(0, text.indexOf('['))));
      depths.set(layer.name, 1 + Math.max(0, ...sources.filter(source => source).map(depth)));
    }
    return depths.get(layer.name);
  };
  collect([...summary.layers].sort((a, b) => depth(a) - depth(b)), 0);
  const graph = el('div', {class: 'graph'});
  const layers = table([{text: 'layer', class: 'text'}, {text: 'class', class: 'text narrow-hidden'}, 'gives', 'parameters'],
    [...rows, ['together', '', '', totals.total.toLocaleString('en').replaceAll(',', '\u202f')]], i => i === rows.length ? 'total' : null);
  section('model', 'Model', `${totals.trainable.toLocaleString('en').replaceAll(',', '\u202f')} of ${totals.total.toLocaleString('en').replaceAll(',', '\u202f')} parameters are trained (${bytes(4 * totals.total)}).`,
    el('div', {class: 'side'}, graph, layers));
  if (data.model.svg) {
    graph.innerHTML = data.model.svg;
    const svg = graph.querySelector('svg'), natural = parseFloat(svg.getAttribute('width')) * 4 / 3;
    svg.removeAttribute('height');
    svg.setAttribute('width', natural);
    // What would become too small to read is moved instead.
    const fit = () => { svg.style.maxWidth = natural < 1.5 * graph.parentNode.clientWidth ? '100%' : 'none'; };
    if (natural > 560) graph.parentNode.style.gridTemplateColumns = 'minmax(0, 1fr)';
    fit();
    addEventListener('resize', fit);
  } else if (data.model.missing) {
    graph.append(el('p', {class: 'note'}, data.model.missing));
  }
}

// ---- speed and memory -----------------------------------------------------------------------------------------------

const drawRoofline = (parent, profile) => {
  const roof = profile.roofline, peak = roof.gflops;
  const kernels = profile.kernels.filter(k => k.gflops > 0 && k.bytes_read + k.bytes_written > 0)
    .map(k => ({...k, intensity: k.flops / (k.bytes_read + k.bytes_written)})).filter(k => k.share >= 0.002);
  if (kernels.length === 0) return;
  const fastest = d3.max(kernels, k => k.gflops), top = 1.6 * Math.max(peak, fastest);
  // The roof is measured before the kernels: what is busy then only, lowers it alone.
  const isLow = fastest > 1.1 * peak;
  const fig = figure('Kernels under the roofline', `Area is time. One core reached ${number(peak, 3)} GFLOP/s; to the left of a line's bend, that memory's bandwidth is the limit.` +
    (isLow ? ' Kernels above it say that the machine was busy when this was measured.' : ''));
  parent.append(fig);
  const low = Math.min(0.05, d3.min(kernels, k => k.intensity) / 1.5), high = Math.max(64, d3.max(kernels, k => k.intensity) * 1.5);
  const bottom = Math.min(peak / 100, d3.min(kernels, k => k.gflops) / 1.5);
  const powers = (a, b) => d3.range(Math.ceil(Math.log10(a)), Math.floor(Math.log10(b)) + 1).map(e => 10 ** e);
  const log = (a, b) => size => d3.scale.log().domain([a, b]).range([0, size]);
  chartFrame(fig, {x: log(low, high), y: size => d3.scale.log().domain([bottom, top]).range([size, 0]), height: 340, xGrid: true,
    xTitle: 'operations per byte moved', yTitle: 'GFLOP/s', xTickValues: () => powers(low, high), yTickValues: powers(bottom, top)}, f => {
    const line = d3.svg.line().x(p => f.x(p[0])).y(p => f.y(p[1]));
    roof.levels.forEach((level, i) => {
      const bend = peak / level.gb_per_second, from = Math.max(low, bottom / level.gb_per_second);
      f.g.append('path').attr({d: line([[from, from * level.gb_per_second], [Math.min(bend, high), Math.min(bend, high) * level.gb_per_second]]), fill: 'none', stroke: color('line'), 'stroke-width': 1.2});
      const x = from * 1.25;
      if (i === 0 || roof.levels[i - 1].gb_per_second > 1.5 * level.gb_per_second)
        f.g.append('text').attr({x: f.x(x) + 4, y: f.y(x * level.gb_per_second) + 12}).text(level.name);
    });
    f.g.append('path').attr({d: line([[Math.min(peak / roof.levels[0].gb_per_second, high), peak], [high, peak]]), fill: 'none', stroke: color('line'), 'stroke-width': 1.2});
    f.g.selectAll('circle').data(kernels).enter().append('circle').attr({cx: k => f.x(k.intensity), cy: k => f.y(k.gflops), r: k => 2.5 + 26 * Math.sqrt(k.share),
      fill: k => color(k.bound === 'compute' ? 'accent' : 'warm'), 'fill-opacity': 0.4, stroke: k => color(k.bound === 'compute' ? 'accent' : 'warm')})
      .append('title').text(k => `${k.origin}: ${k.what}\n${number(k.us)} µs, ${percent(k.share, 1)} of the step, ${number(k.gflops, 3)} GFLOP/s, ${number(k.roofline_percent, 3)} % of the roofline`);
  });
  fig.append(legendOf([{name: 'limited by arithmetic', color: 'accent', kind: 'dot'}, {name: 'limited by memory', color: 'warm', kind: 'dot'}]));
};

const drawByLayer = (parent, profile) => {
  const sums = new Map();
  const layers = new Set((data.model.summary?.layers ?? []).map(layer => layer.name));
  for (const k of profile.kernels) {
    const first = (k.origin || 'other').split(', ')[0], whole = first.split('/')[0];
    const name = layers.has(whole) ? whole : first;
    sums.set(name, (sums.get(name) ?? 0) + k.us);
  }
  const rows = [...sums].sort((a, b) => b[1] - a[1]).slice(0, 10);
  const fig = figure('Time by layer', 'Forward, backward and update together.');
  parent.append(fig);
  fig.append(table([{text: 'layer', class: 'text wrap'}, 'µs', 'share'], rows.map(([name, us]) => {
    const share = us / profile.kernels_us;
    return [name, number(us, 3), el('span', {}, percent(share, 1), el('span', {class: 'bar'}, el('i', {style: `width:${(100 * share).toFixed(1)}%`})))];
  })));
};

const profile = data.profile;
if (profile) {
  const node = section('speed', 'Speed', `One training step of ${profile.batch} samples on ${profile.threads} thread${profile.threads === 1 ? '' : 's'}: ` +
    `${number(profile.kernels_us)}\u202fµs in kernels, ${Math.round(1e6 * profile.batch / profile.profiled_step_us).toLocaleString('en').replaceAll(',', '\u202f')} samples/s, measured when this page was made.`);
  const grid = el('div', {class: 'grid'});
  node.append(grid);
  drawRoofline(grid, profile);
  drawByLayer(grid, profile);
  const shown = profile.kernels.filter(k => k.share >= 0.001).slice(0, 40), rest = profile.kernels.length - shown.length;
  const body = el('details', {}, el('summary', {}, `All kernels (${profile.kernels.length})`),
    table([{text: 'kernel', class: 'text wrap'}, 'µs', 'share', 'GFLOP/s', {text: 'GB/s', class: 'narrow-hidden'}, 'of the roofline', {text: 'limit', class: 'narrow-hidden'}],
      shown.map(k => [`${k.origin}: ${k.what}`, number(k.us, 3), percent(k.share, 1), number(k.gflops, 3), number(k.gb_per_second, 3),
        k.roofline_percent === null ? '–' : percent(k.roofline_percent / 100), k.bound])),
    rest > 0 ? el('p', {class: 'note'}, `${rest} shorter ones are left out.`) : null);
  node.append(body);
}

const memory = data.memory;
if (memory) {
  const names = {parameter: 'parameters', optimizer_state: 'optimizer state', layer_state: 'layer state', metric_state: 'metric state', control: 'control', derived: 'packed weights'};
  const step = memory.entries.find(entry => entry.entry === 'train_step');
  const parts = memory.slots.map(slot => ({name: names[slot.kind] ?? slot.kind, bytes: slot.bytes})).filter(part => part.bytes >= 1024);
  if (step) parts.push({name: 'intermediate results of a training step', bytes: step.arena_bytes});
  parts.sort((a, b) => b.bytes - a.bytes);
  const total = d3.sum(parts, part => part.bytes), palette = ['accent', 'warm', 'good', 'violet', 'teal', 'line'];
  const node = section('memory', 'Memory', `${bytes(total)} for training in batches of ${memory.batch}, planned before the first step; nothing is allocated later.`);
  node.append(el('div', {class: 'stack'}, parts.map((part, i) => el('i', {style: `flex:${part.bytes};background:var(--${palette[i % palette.length]})`, title: `${part.name}: ${bytes(part.bytes)}`}))));
  node.append(el('div', {class: 'legend'}, parts.map((part, i) => el('span', {}, el('i', {class: 'block', style: `background:var(--${palette[i % palette.length]})`}), `${part.name} ${bytes(part.bytes)}`))));
  node.append(table([{text: 'entry', class: 'text'}, 'arena', 'without sharing', 'saved', 'buffers'],
    memory.entries.filter(entry => entry.buffer_count > 0).map(entry => [entry.entry, bytes(entry.arena_bytes), bytes(entry.unshared_bytes),
      entry.unshared_bytes > 0 ? percent(1 - entry.arena_bytes / entry.unshared_bytes) : '–', String(entry.buffer_count)])));
  if (step && step.buffers.length > 0)
    node.append(el('details', {}, el('summary', {}, 'Largest buffers of a training step'),
      table([{text: 'buffer', class: 'text wrap'}, 'size', 'at'], step.buffers.map(b => [b.name, bytes(b.bytes), bytes(b.offset)]))));
}

// ---- recipe and provenance ------------------------------------------------------------------------------------------

section('repeat', 'Repeat this run', 'The same recipe, data, seed and version give the same bits, with any number of threads.',
  el('pre', {}, data.repeat.join('\n')),
  el('dl', {}, data.provenance.flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)])),
  el('details', {}, el('summary', {}, 'The recipe as it was resolved'), el('pre', {}, data.recipe)));

nav.append(...sections.map(([id, title]) => el('a', {href: '#' + id}, title)));
})();
