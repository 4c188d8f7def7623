// What happens to keys, as it happens.

import { h, fill, button, chip } from './dom.js';
import { spanOf, watch } from './api.js';
import { clock, count, decode, parse, show } from './format.js';

const most = 500; // events that are kept

export function page(app, params) {
  const input = h('input', { id: 'watch-prefix', class: 'mono', placeholder: 'all keys', spellcheck: 'false', autocomplete: 'off', autocapitalize: 'off', value: params.get('prefix') || '' });
  const from = h('input', { id: 'watch-from', class: 'mono', inputmode: 'numeric', pattern: '[0-9]*', placeholder: 'now' });
  const state = h('p', { class: 'quiet', role: 'status' }, 'Nothing is watched yet.');
  const list = h('ol', { class: 'events', 'aria-label': 'Events, the newest first' });
  let stop = null;
  let next = '0'; // the revision from which a new watcher goes on
  let seen = 0;

  function event(e, revision) {
    const gone = e.type === 'DELETE';
    const data = gone ? null : decode(e.kv.value);
    return h('li', {}, h('time', { class: 'quiet num' }, clock(Date.now())), chip(gone ? 'delete' : 'put', gone ? 'bad' : 'good'),
      h('a', { class: 'mono name', href: app.link('keys', { prefix: '', key: show(decode(e.kv.key)) }) }, show(decode(e.kv.key))),
      h('span', { class: 'mono quiet text' }, gone ? '' : show(data.subarray(0, 200)) + (data.length > 200 ? '…' : '')),
      h('span', { class: 'quiet num' }, count(e.kv.mod_revision || revision)));
  }

  const told = () => fill(state, h('i', { class: 'pulse good', 'aria-hidden': 'true' }), `Watching. ${count(seen)} ${seen === 1 ? 'event' : 'events'}` + (seen > most ? `, of which the last ${most} are shown.` : '.'));

  async function run(span, signal) {
    for (let tries = 0; !signal.aborted; tries++) {
      try {
        await watch({ ...span, start_revision: next }, (m) => {
          if (m.canceled) throw new Error(m.compact_revision && m.compact_revision !== '0' ? `The history is compacted up to revision ${count(m.compact_revision)}.` : m.cancel_reason);
          tries = 0;
          if (m.created && next === '0') next = String(BigInt(m.header.revision) + 1n); // should the stream end before anything happens
          const events = m.events || [];
          seen += events.length;
          if (events.length) next = String(BigInt(m.header.revision) + 1n);
          list.prepend(...events.map((e) => event(e, m.header.revision)).reverse());
          while (list.children.length > most) list.lastChild.remove();
          told();
        }, signal);
      } catch (e) {
        if (signal.aborted) return;
        fill(state, h('span', { class: 'error' }, e.message));
        app.check(e);
        if (e.status === undefined || e.code !== 14) { end(); return; }
      }
      await new Promise((r) => { setTimeout(r, Math.min(4000, 500 * (tries + 1))); });
    }
  }

  function begin() {
    end();
    const control = new AbortController();
    stop = control;
    next = from.value.trim() || '0';
    seen = 0;
    fill(list);
    fill(state, 'Beginning …');
    toggle.textContent = 'Stop';
    app.remember('watch', { prefix: input.value, on: 'yes' });
    run(spanOf(parse(input.value)), control.signal);
  }

  function end() {
    if (stop) stop.abort();
    stop = null;
    toggle.textContent = 'Watch';
  }

  const toggle = h('button', { type: 'submit', class: 'primary' }, 'Watch');
  const form = h('form', { class: 'tools', onsubmit: (e) => {
    e.preventDefault();
    if (stop) { end(); fill(state, `Stopped after ${count(seen)} events.`); } else begin();
  } },
  h('label', { for: 'watch-prefix' }, 'Keys that begin with', input),
  h('label', { for: 'watch-from', class: 'narrow' }, 'From revision', from), toggle, button('Clear', () => fill(list)));
  const root = h('div', { class: 'page' }, h('div', { class: 'pagehead' }, h('h1', {}, 'Watch')), form, h('div', { class: 'card' }, state, list));
  if (params.has('on')) begin();
  return { root, title: 'Watch', focus: input, update() {}, leave: end };
}
