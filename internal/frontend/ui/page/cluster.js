// The cluster at a glance.

import { h, fill, chip } from './dom.js';
import { bytes, count, micros, short, span } from './format.js';
import { columns, leaderChart, lineChart, spark } from './chart.js';

const roleKinds = { leader: 'lead', follower: '', candidate: 'warn', learner: 'soft', waiting: 'warn' };

export function roleOf(m) {
  if (!m.started) return ['not started', 'warn'];
  if (!m.connected) return ['unreachable', 'bad'];
  if (m.witness) return ['witness', 'soft'];
  if (!m.report) return ['connected', ''];
  if (m.promote) return ['catching up', 'warn'];
  return [m.report.role, roleKinds[m.report.role] || ''];
}

// stateOf is one word for the cluster, and its colour.
export function stateOf(o) {
  if (!o.leader) return ['no leader', 'bad'];
  if (o.notes.some((n) => n.grave)) return ['needs you', 'bad'];
  if (o.notes.length) return ['degraded', 'warn'];
  return ['healthy', 'good'];
}

export const nameOf = (o, id) => o.members.find((m) => m.id === id)?.name || (id ? 'member ' + id : 'nobody');

function headline(o) {
  const voters = o.members.filter((m) => m.voter);
  const answer = voters.filter((m) => m.connected).length;
  if (!o.leader) return ['Nobody leads', `${answer} of ${voters.length} voters answer`];
  return [`${nameOf(o, o.leader)} leads`, `${answer} of ${voters.length} voters answer`];
}

function meter(label, used, of, text) {
  const part = of ? Math.min(1, used / of) : 0;
  return h('div', { class: 'meter' }, h('span', {}, label), h('b', {}, text),
    h('div', { class: 'bar', 'aria-hidden': 'true' }, h('i', { class: part > 0.9 ? 'bad' : part > 0.75 ? 'warn' : '', style: { width: (100 * part).toFixed(1) + '%' } })));
}

function fact(label, value, kind = '') {
  return h('div', { class: 'fact ' + kind }, h('dt', {}, label), h('dd', {}, value));
}

function certificate(r, now) {
  const ends = r.certificates?.flatMap((c) => [c.expires, c.authorities]).filter(Boolean) || [];
  if (!r.certificates?.length) return fact('Certificate', 'none', 'faint');
  if (!ends.length) return fact('Certificate', 'never expires');
  const left = Math.min(...ends) - now;
  return fact('Certificate', left > 0 ? 'for ' + span(left) : 'expired', left < 14 * 86400e3 ? 'bad' : '');
}

function card(o, m, history, kind) {
  const r = m.report;
  const [role, roleKind] = roleOf(m);
  const reign = m.id === o.leader;
  return h('article', { class: 'card member' + (reign ? ' leads' : '') + (m.connected && m.started ? '' : ' away'), 'aria-label': `${m.name || m.id}, ${role}` },
    h('header', {}, h('i', { class: 'dot ' + kind, 'aria-hidden': 'true' }), h('h3', {}, m.name || 'no name yet'), chip(role, roleKind)),
    h('p', { class: 'where' }, m.clients?.[0] || m.peers?.[0] || '', m.id === o.self && h('span', { class: 'quiet' }, ' · this server')),
    r ? [
      spark(history.of(o.now, m.id, columns.syncs), kind, o.now),
      h('p', { class: 'under' }, 'syncs of the log per second, 5 minutes'),
      h('dl', {},
        fact('Lag', reign ? 'leads' : m.behind < 0 ? '–' : m.behind === 0 ? 'none' : count(m.behind) + (m.behind === 1 ? ' entry' : ' entries'), m.behind > 10000 ? 'bad' : ''),
        fact('Round trip', m.id === o.self ? '–' : micros(m.roundTrip)),
        fact('Applied', count(r.applied)),
        fact('Connections', count(r.clients)),
        certificate(r, o.now),
        fact('Up', span(r.uptime))),
      meter('Disk', r.dataBytes, r.dataBytes + r.diskFree, `${bytes(r.dataBytes)} of its own, ${bytes(r.diskFree)} free`),
      meter('Memory', r.memory, r.memoryLimit, r.memoryLimit ? `${bytes(r.memory)} of ${bytes(r.memoryLimit)}` : bytes(r.memory)),
    ] : h('p', { class: 'quiet why' }, m.started ? (m.connected ? 'It is connected, and says nothing of itself.' : 'This server has no connection to it.') : 'It has a place in the cluster. Start a server for it.', m.connected && m.why ? ' ' + m.why : ''),
    h('footer', { class: 'quiet' }, r ? `version ${r.version || 'unknown'}` : '', h('span', {}, r ? 'term ' + count(r.term) : '')));
}

export function page() {
  const root = h('div', { class: 'page' });
  const head = h('div', { class: 'hero' });
  const notes = h('div', { class: 'notes', role: 'status' });
  const members = h('section', { class: 'members', 'aria-label': 'Members' });
  const charts = h('section', { class: 'charts', 'aria-label': 'Charts of five minutes' });
  root.append(head, notes, members, h('h2', {}, 'The last five minutes'), charts);
  let said = '';
  return {
    root,
    title: 'Cluster',
    update(o, history) {
      const [big, small] = headline(o);
      const [state, kind] = stateOf(o);
      const r = o.members.find((m) => m.id === o.self)?.report;
      fill(head,
        h('div', {}, h('h1', {}, h('i', { class: 'pulse ' + kind, 'aria-hidden': 'true' }), big), h('p', { class: 'sub' }, chip(state, kind), ' ', small)),
        r && h('dl', { class: 'figures' },
          fact('Term', count(r.term)), fact('Revision', count(r.revision)), fact('Keys', count(r.keys)),
          fact('Keys and values', r.quota ? `${bytes(r.storeBytes)} of ${bytes(r.quota)}` : bytes(r.storeBytes)), fact('Leases', count(r.leases))));
      const told = JSON.stringify(o.notes);
      if (told !== said) {
        said = told;
        fill(notes, o.notes.map((n) => h('p', { class: n.grave ? 'note bad' : 'note' }, n.text)));
      }
      const kinds = new Map(o.members.map((m, i) => [m.id, 'c' + (i % 6)]));
      fill(members, o.members.map((m) => card(o, m, history, kinds.get(m.id))));
      if (charts.matches(':hover')) return; // somebody reads values off
      const now = o.now;
      const rate = (v) => short(v) + '/s';
      fill(charts,
        lineChart({ title: 'Throughput', note: 'requests of all members', now, format: rate, least: 10, lines: [
          { name: 'reads', kind: 'c0', area: true, points: history.sum(now, columns.reads) },
          { name: 'writes', kind: 'c1', area: true, points: history.sum(now, columns.writes) },
          { name: 'failed', kind: 'bad', points: history.sum(now, columns.failed), quiet: true }] }),
        lineChart({ title: 'Latency', note: 'the slowest member', now, format: micros, least: 1000, lines: [
          { name: 'writes, 99 %', kind: 'c1', points: history.largest(now, columns.writeLate) },
          { name: 'half', kind: 'c1 thin', points: history.largest(now, columns.writeMedian) },
          { name: 'reads, 99 %', kind: 'c0', points: history.largest(now, columns.readLate) }] }),
        lineChart({ title: 'Syncs', note: 'of the log to the disk, 99 %', now, format: micros, least: 1000,
          lines: o.members.filter((m) => m.started).map((m) => ({ name: m.name || m.id, kind: kinds.get(m.id), points: history.of(now, m.id, columns.syncLate).map(([t, v]) => [t, v || null]) })) }),
        leaderChart({ title: 'Elections', note: 'who led', now, terms: history.terms(now), names: new Map(o.members.filter((m) => m.voter).map((m) => [m.id, m.name || m.id])), kinds }));
    },
  };
}
