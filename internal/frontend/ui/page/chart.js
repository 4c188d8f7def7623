// Charts, drawn as SVG.

import { h, fill } from './dom.js';
import { clock } from './format.js';

const slot = 2000; // milliseconds: how often a member has a point
export const windowTime = 5 * 60 * 1000;

// The columns of a point.
export const columns = {
  time: 0, reads: 1, writes: 2, failed: 3, readMedian: 4, readLate: 5, writeMedian: 6, writeLate: 7, syncs: 8, syncMedian: 9, syncLate: 10, term: 11, leader: 12,
};

// slotOf is the slot that a point's time is nearest to: members' clocks differ a little.
const slotOf = (point) => Math.round(point[columns.time] / slot) * slot;

// History has the points of all members, by the time.
export class History {
  constructor() { this.slots = new Map(); }

  // take adds what an overview has brought.
  take(overview) {
    for (const m of overview.members) {
      const points = (m.report && m.report.points) || [];
      if (points.length) this.forget(m.id, slotOf(points[0]));
      for (const p of points) {
        const at = slotOf(p);
        if (!this.slots.has(at)) this.slots.set(at, new Map());
        this.slots.get(at).set(m.id, p);
      }
    }
    for (const at of this.slots.keys()) if (at < overview.now - 2 * windowTime) this.slots.delete(at);
  }

  // forget drops what a member has said from a time on: its clock was set back.
  forget(id, from) {
    for (const [at, said] of this.slots) {
      if (at >= from) said.delete(id);
      if (!said.size) this.slots.delete(at);
    }
  }

  times(now) {
    return [...this.slots.keys()].filter((t) => t > now - windowTime).sort((a, b) => a - b);
  }

  // sum, largest and of make a line: of all members, or of one. A time at which nobody has said anything is
  // null.
  sum(now, column) {
    return this.times(now).map((t) => [t, [...this.slots.get(t).values()].reduce((n, p) => n + p[column], 0)]);
  }

  largest(now, column) {
    return this.times(now).map((t) => [t, Math.max(...[...this.slots.get(t).values()].map((p) => p[column])) || null]);
  }

  of(now, id, column) {
    return this.times(now).map((t) => [t, this.slots.get(t).get(id)?.[column] ?? null]);
  }

  // terms are who led, as those members said whose term was the highest: [from, to, leader, term].
  terms(now) {
    const all = [];
    for (const t of this.times(now)) {
      let term = 0;
      let leader = '';
      for (const p of this.slots.get(t).values()) {
        if (p[columns.term] > term || (p[columns.term] === term && !leader)) {
          term = p[columns.term];
          leader = p[columns.leader];
        }
      }
      const last = all[all.length - 1];
      if (last && last.leader === leader && last.term === term && t - last.to <= 3 * slot) last.to = t;
      else all.push({ from: last && t - last.to <= 3 * slot ? last.to : t - slot, to: t, leader, term });
    }
    return all;
  }
}

const width = 560;
const height = 168;
const left = 46;
const right = 8;
const top = 8;
const bottom = 20;

const x = (t, now) => left + ((t - (now - windowTime)) / windowTime) * (width - left - right);

// scaleOf returns round values for the axis, up to above the largest.
function scaleOf(largest, least) {
  const most = Math.max(largest, least);
  const step = 10 ** Math.floor(Math.log10(most / 2));
  const unit = [1, 2, 5, 10].map((f) => f * step).find((u) => most / u <= 4) || 10 * step;
  const ticks = [];
  for (let v = 0; v < most + unit * 0.999; v += unit) ticks.push(v);
  return ticks;
}

function frame(now, label) {
  const svg = h('svg', { viewBox: `0 0 ${width} ${height}`, class: 'chart', role: 'img', 'aria-label': label });
  for (const minutes of [4, 3, 2, 1]) {
    const at = x(now - minutes * 60000, now);
    svg.append(h('text', { x: at, y: height - 5, 'text-anchor': 'middle' }, minutes + ' min'));
  }
  svg.append(h('text', { x: width - right, y: height - 5, 'text-anchor': 'end' }, 'now'));
  return svg;
}

// path joins values; where one is missing the line is broken.
function path(points, y, now) {
  let d = '';
  let pen = false;
  let before = 0;
  for (const [t, v] of points) {
    if (v === null) { pen = false; continue; }
    d += (pen && t - before <= 5 * slot ? 'L' : 'M') + x(t, now).toFixed(1) + ' ' + y(v).toFixed(1);
    pen = true;
    before = t;
  }
  return d;
}

const latest = (points) => {
  for (let i = points.length - 1; i >= 0; i--) if (points[i][1] !== null) return points[i][1];
  return null;
};

// lineChart draws lines: {name, kind, points, area, quiet}. A quiet one is left out while it is 0. format makes text of a value, and least is how far the
// axis goes at least.
export function lineChart({ title, now, lines: all, format, least, note }) {
  const lines = all.filter((l) => !l.quiet || l.points.some((p) => p[1]));
  const largest = Math.max(0, ...lines.flatMap((l) => l.points.map((p) => p[1] || 0)));
  const ticks = scaleOf(largest, least);
  const most = ticks[ticks.length - 1];
  const y = (v) => height - bottom - (Math.min(v, most) / most) * (height - top - bottom);
  const said = lines.map((l) => `${l.name} ${format(latest(l.points) || 0)}`).join(', ');
  const svg = frame(now, `${title}: ${said}`);
  for (const v of ticks) {
    svg.append(h('line', { x1: left, x2: width - right, y1: y(v), y2: y(v), class: v ? 'grid' : 'axis' }),
      h('text', { x: left - 7, y: y(v) + 3.5, 'text-anchor': 'end' }, v ? format(v) : '0'));
  }
  for (const l of lines) {
    const d = path(l.points, y, now);
    if (!d) continue;
    const known = l.points.filter((p) => p[1] !== null);
    if (l.area && known.length > 1) {
      svg.append(h('path', { class: 'area ' + l.kind, d: `${d}L${x(known[known.length - 1][0], now).toFixed(1)} ${y(0)}L${x(known[0][0], now).toFixed(1)} ${y(0)}Z` }));
    }
    svg.append(h('path', { class: 'line ' + l.kind, d }));
  }
  const cursor = h('line', { y1: top, y2: height - bottom, class: 'cursor', visibility: 'hidden' });
  svg.append(cursor);
  const legend = h('ul', { class: 'legend' });
  const tell = (at) => fill(legend, lines.map((l) => {
    const near = at === null ? null : l.points.reduce((a, b) => (a && Math.abs(a[0] - at) < Math.abs(b[0] - at) ? a : b), null);
    const v = at === null ? latest(l.points) : near && near[1];
    return h('li', { class: l.kind }, l.name, ' ', h('b', {}, v === null || v === undefined ? '–' : format(v)));
  }), at !== null && h('li', { class: 'when' }, clock(at)));
  tell(null);
  svg.addEventListener('pointermove', (e) => {
    const box = svg.getBoundingClientRect();
    const px = Math.min(Math.max(((e.clientX - box.left) / box.width) * width, left), width - right);
    cursor.setAttribute('x1', px);
    cursor.setAttribute('x2', px);
    cursor.setAttribute('visibility', 'visible');
    tell(now - windowTime + ((px - left) / (width - left - right)) * windowTime);
  });
  svg.addEventListener('pointerleave', () => { cursor.setAttribute('visibility', 'hidden'); tell(null); });
  return h('figure', { class: 'card' }, h('figcaption', {}, h('h3', {}, title), note && h('span', { class: 'quiet' }, note)), legend, svg);
}

// leaderChart shows who led when. names and kinds are by the ids of members.
export function leaderChart({ title, now, terms, names, kinds, note }) {
  const svg = frame(now, title + ': ' + terms.map((t) => `term ${t.term} ${names.get(t.leader) || 'nobody'}`).join(', '));
  const rows = [...names.keys()];
  const room = (height - top - bottom) / Math.max(rows.length, 1);
  rows.forEach((id, i) => {
    const middle = top + room * (i + 0.5);
    svg.append(h('line', { x1: left, x2: width - right, y1: middle, y2: middle, class: 'grid' }),
      h('text', { x: left - 7, y: middle + 3.5, 'text-anchor': 'end' }, names.get(id).slice(0, 7)));
  });
  for (const t of terms) {
    const from = Math.max(x(t.from, now), left);
    const wide = Math.max(x(t.to, now) - from, 1.5);
    const row = rows.indexOf(t.leader);
    if (row < 0) {
      svg.append(h('rect', { x: from, width: wide, y: top, height: height - top - bottom, class: 'gap' }));
      continue;
    }
    const tall = Math.min(room * 0.62, 26);
    const y = top + room * (row + 0.5) - tall / 2;
    svg.append(h('rect', { x: from, width: wide, y, height: tall, rx: Math.min(4, wide / 2), class: 'reign ' + kinds.get(t.leader) }));
    if (wide > 58) svg.append(h('text', { x: from + 8, y: y + tall / 2 + 4, class: 'inside' }, 'term ' + t.term));
  }
  const elections = Math.max(0, new Set(terms.filter((t) => t.leader).map((t) => t.term)).size - 1);
  return h('figure', { class: 'card' }, h('figcaption', {}, h('h3', {}, title), note && h('span', { class: 'quiet' }, note)),
    h('ul', { class: 'legend' }, h('li', { class: 'plain' }, 'elections ', h('b', {}, String(elections))),
      terms.some((t) => !t.leader) && h('li', { class: 'bad' }, 'without a leader')), svg);
}

// spark is a small line without axes.
export function spark(points, kind, now) {
  const largest = Math.max(1, ...points.map((p) => p[1] || 0));
  const at = (t) => ((t - (now - windowTime)) / windowTime) * 240;
  const y = (v) => 37 - (v / largest) * 33;
  const known = points.filter((p) => p[1] !== null);
  const d = known.map(([t, v], i) => (i ? 'L' : 'M') + at(t).toFixed(1) + ' ' + y(v).toFixed(1)).join('');
  const svg = h('svg', { viewBox: '0 0 240 40', class: 'spark', preserveAspectRatio: 'none', 'aria-hidden': 'true' });
  svg.append(h('line', { x1: 0, x2: 240, y1: 38, y2: 38, class: 'axis' }));
  if (known.length > 1) {
    svg.append(h('path', { class: 'area ' + kind, d: `${d}L${at(known[known.length - 1][0]).toFixed(1)} 38L${at(known[0][0]).toFixed(1)} 38Z` }),
      h('path', { class: 'line ' + kind, d }));
  }
  return svg;
}
