// Leases, what they have left, and their keys.

import { h, fill, button, confirm, toast } from './dom.js';
import { leases, revoke, timeToLive } from './api.js';
import { count, decode, show, span } from './format.js';

const most = 50; // leases that are asked for
const shownKeys = 6;

// leaseText is the id of a lease as etcd's tools show it.
export const leaseText = (id) => BigInt(id).toString(16).padStart(16, '0');

export function page(app) {
  const state = h('p', { class: 'quiet', role: 'status' }, '…');
  const body = h('tbody', {});
  const filter = h('input', { id: 'lease-id', class: 'mono', placeholder: 'any', spellcheck: 'false', autocomplete: 'off', oninput: () => load() });
  let left = false;
  let turn = 0;

  function row(one) {
    const ttl = Number(one.TTL || 0);
    const granted = Number(one.grantedTTL || 0);
    const keys = (one.keys || []).map((k) => show(decode(k)));
    const id = leaseText(one.ID);
    return h('tr', {},
      h('th', { scope: 'row', class: 'mono' }, id),
      h('td', { 'data-label': 'Left' }, h('div', { class: 'bar', 'aria-hidden': 'true' }, h('i', { style: { width: (granted ? Math.min(100, (100 * ttl) / granted) : 0) + '%' } })), h('span', { class: 'num' }, span(ttl * 1000), ' of ', span(granted * 1000))),
      h('td', { 'data-label': 'Keys', class: 'keylist' }, keys.length === 0 ? h('span', { class: 'quiet' }, 'none') : keys.slice(0, shownKeys).map((k) => h('a', { class: 'mono', href: app.link('keys', { prefix: '', key: k }) }, k)),
        keys.length > shownKeys && h('span', { class: 'quiet' }, `and ${count(keys.length - shownKeys)} more`)),
      h('td', { class: 'act' }, app.writes() && button('Revoke …', () => confirm({
        title: 'Revoke a lease', action: 'Revoke', danger: true,
        will: async () => {
          const now = await timeToLive(one.ID);
          const n = (now.keys || []).length;
          return [`The lease ${id} ends now.`, n === 0 ? 'It has no keys.' : `Its ${n === 1 ? 'key is' : `${count(n)} keys are`} deleted in the same revision: ${(now.keys || []).slice(0, shownKeys).map((k) => show(decode(k))).join(', ')}${n > shownKeys ? ' …' : ''}`, 'Whoever keeps it alive is told that it is gone.'];
        },
        run: async () => { await revoke(one.ID); toast(`The lease ${id} has ended.`); load(); },
      }), 'danger')));
  }

  async function load() {
    const mine = ++turn;
    try {
      const all = (await leases()).leases || [];
      const want = filter.value.trim().toLowerCase();
      const ids = all.map((l) => l.ID).filter((id) => leaseText(id).includes(want));
      const some = await Promise.all(ids.slice(0, most).map((id) => timeToLive(id).catch(() => null)));
      if (left || mine !== turn) return;
      const lively = some.filter((one) => one && Number(one.TTL) >= 0);
      fill(state, ids.length === 0 ? 'There are no leases.' : `${count(lively.length)} of ${count(all.length)} leases`);
      if (!body.contains(document.activeElement)) fill(body, lively.map(row));
    } catch (e) {
      if (left || mine !== turn) return;
      fill(state, h('span', { class: 'error' }, e.message));
      app.check(e);
    }
  }

  load();
  const timer = setInterval(load, 3000);
  const root = h('div', { class: 'page' }, h('div', { class: 'pagehead' }, h('h1', {}, 'Leases')),
    h('form', { class: 'tools', onsubmit: (e) => { e.preventDefault(); load(); } }, h('label', { for: 'lease-id' }, 'With this in their id', filter)),
    h('div', { class: 'card' }, state, h('table', {}, h('thead', {}, h('tr', {}, ['Lease', 'Left', 'Keys', ''].map((t) => h('th', { scope: 'col' }, t)))), body)));
  return { root, title: 'Leases', focus: filter, update() {}, leave: () => { left = true; clearInterval(timer); } };
}
