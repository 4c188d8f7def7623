// Keys by prefix, their values, versions and history.

import { h, fill, button, icon, dialog, confirm, toast } from './dom.js';
import { range, put, del, spanOf } from './api.js';
import { bytes, count, decode, encode, hex, parse, show, textOf } from './format.js';
import { leaseText } from './leases.js';

const pageSize = 100;
const historySize = 20;

// meta is what a key has besides its value.
function meta(kv) {
  const rows = [['Version', count(kv.version)], ['Created at', count(kv.create_revision)], ['Changed at', count(kv.mod_revision)], ['Size', bytes(decode(kv.value).length)]];
  if (kv.lease && kv.lease !== '0') rows.push(['Lease', leaseText(kv.lease)]);
  return h('dl', { class: 'facts' }, rows.map(([k, v]) => h('div', { class: 'fact' }, h('dt', {}, k), h('dd', {}, v))));
}

// viewer shows a value in the form that fits it, and others.
function viewer(value) {
  const data = decode(value);
  const text = textOf(data);
  const forms = [];
  if (text !== null) forms.push(['Text', () => text]);
  if (text !== null && /^\s*[[{]/.test(text)) {
    try {
      const pretty = JSON.stringify(JSON.parse(text), null, 2);
      forms.unshift(['JSON', () => pretty]);
    } catch { /* it only looks like it */ }
  }
  forms.push(['Hex', () => hex(data.subarray(0, 64 << 10)) + (data.length > 64 << 10 ? '\n…' : '')]);
  const out = h('pre', { class: 'value', tabindex: '0', 'aria-label': 'Value' });
  const tabs = forms.map(([name, make], i) => button(name, () => pick(i), 'tab'));
  function pick(i) {
    tabs.forEach((t, k) => t.setAttribute('aria-pressed', String(k === i)));
    out.textContent = forms[i][1]();
    out.classList.toggle('none', data.length === 0);
    if (!data.length) out.textContent = 'empty';
  }
  pick(0);
  return h('div', { class: 'viewer' }, h('div', { class: 'tabs', role: 'group', 'aria-label': 'Form of the value' }, tabs), out);
}

// editor edits a value, or makes a key.
function editor({ key, kv, start, done }) {
  dialog(kv ? 'Edit the value' : 'New key', (close) => {
    const data = decode(start !== undefined ? start : kv ? kv.value : '');
    const isText = textOf(data) !== null;
    const name = !kv && h('input', { id: 'new-key', required: true, spellcheck: 'false', autocomplete: 'off', value: show(key), class: 'mono' });
    const area = h('textarea', { id: 'new-value', rows: '12', spellcheck: 'false', class: 'mono', value: isText ? textOf(data) : encode(data) });
    const base64 = h('input', { type: 'checkbox', id: 'as-base64' });
    base64.checked = !isText;
    const error = h('p', { class: 'error', role: 'alert' });
    const save = async (e) => {
      e.preventDefault();
      fill(error);
      try {
        const value = base64.checked ? decode(area.value.replace(/\s/g, '')) : new TextEncoder().encode(area.value);
        const of = kv ? key : parse(name.value);
        await put(of, value, kv ? kv.mod_revision : '0', kv && kv.lease);
        close();
        toast(`${show(of)} is written.`);
        done(of);
      } catch (err) {
        fill(error, err.name === 'InvalidCharacterError' ? 'This is not base64.' : err.message);
      }
    };
    return h('form', { onsubmit: save },
      name ? [h('label', { for: 'new-key' }, 'Key'), name] : h('p', { class: 'mono keyname' }, show(key)),
      h('label', { for: 'new-value' }, 'Value'), area,
      h('label', { class: 'check' }, base64, 'The value is typed as base64'),
      h('p', { class: 'quiet' }, kv ? `It is written only if nobody has changed the key since revision ${count(kv.mod_revision)}.` + (kv.lease && kv.lease !== '0' ? ' The lease stays.' : '') : 'It is written only if there is no such key yet.'),
      error, h('div', { class: 'buttons' }, button('Cancel', close), h('button', { class: 'primary', type: 'submit' }, 'Write')));
  }, 'wide');
}

export function page(app, params) {
  const root = h('div', { class: 'page keys' });
  let prefix = parse(params.get('prefix') || '');
  let revision = params.get('revision') || '';
  let selected = params.has('key') ? parse(params.get('key')) : null;
  const input = h('input', { id: 'prefix', class: 'mono', placeholder: 'all keys', spellcheck: 'false', autocomplete: 'off', autocapitalize: 'off', value: show(prefix) });
  const at = h('input', { id: 'revision', class: 'mono', inputmode: 'numeric', pattern: '[0-9]*', placeholder: 'now', value: revision });
  const summary = h('p', { class: 'quiet', role: 'status' });
  const list = h('ul', { class: 'rows', 'aria-label': 'Keys' });
  const more = h('div', { class: 'more' });
  const detail = h('section', { class: 'detail card', 'aria-label': 'The key', tabindex: '-1' });
  const make = button('New key', () => editor({ key: prefix, done: (k) => { selected = k; load(); } }), 'primary');
  make.hidden = true;

  const go = () => app.remember('keys', { prefix: show(prefix), revision, key: selected ? show(selected) : '' });
  let turn = 0;
  let last = null;
  let fixed = '';

  async function load(from) {
    const mine = ++turn;
    const first = !from;
    try {
      const span = spanOf(prefix);
      if (from) span.key = encode(from);
      const r = await range({ ...span, limit: String(pageSize), keys_only: true, revision: first ? revision || '0' : fixed });
      if (mine !== turn) return;
      fixed = revision || r.header.revision;
      const kvs = r.kvs || [];
      const rows = kvs.map((kv) => row(kv));
      if (first) fill(list, rows);
      else list.append(...rows);
      last = kvs.length ? decode(kvs[kvs.length - 1].key) : null;
      const shown = list.children.length;
      const all = first ? Number(r.count || 0) : shown + Number(r.count || 0) - kvs.length;
      fill(summary, all === 0 ? (prefix.length || revision ? 'No key begins so.' : 'The store is empty.') : `${count(shown)} of ${count(all)} keys, at revision ${count(fixed)}`);
      fill(more, r.more && button('Show more', () => load(Uint8Array.of(...last, 0))));
      if (first && selected) open(selected);
      else if (first) nothing();
    } catch (e) {
      if (mine !== turn) return;
      fill(list);
      fill(more);
      fill(summary, h('span', { class: 'error' }, e.message));
      app.check(e);
    }
  }

  const same = (a, b) => a && b && a.length === b.length && a.every((v, i) => v === b[i]);

  function row(kv) {
    const key = decode(kv.key);
    const b = h('button', { type: 'button', class: 'row', onclick: () => { selected = key; go(); open(key, true); } },
      h('span', { class: 'mono name' }, h('span', { class: 'before' }, show(key.subarray(0, prefix.length))), show(key.subarray(prefix.length))),
      h('span', { class: 'quiet num' }, kv.lease && kv.lease !== '0' ? h('span', { class: 'chip soft', title: 'It has a lease' }, 'lease') : null, ' v' + kv.version));
    b.key = key;
    return h('li', {}, b);
  }

  function mark() {
    for (const b of list.querySelectorAll('button.row')) b.setAttribute('aria-current', String(same(b.key, selected)));
    root.classList.toggle('picked', Boolean(selected));
  }

  function nothing() {
    mark();
    fill(detail, h('p', { class: 'quiet center' }, 'Pick a key to see its value and its history.'));
  }

  // crumbs let one narrow the prefix to a part of the key.
  function crumbs(key) {
    const parts = [];
    let start = 0;
    key.forEach((b, i) => {
      if (b === 0x2f && i + 1 < key.length) {
        const upTo = key.slice(0, i + 1);
        parts.push(h('a', { href: app.link('keys', { prefix: show(upTo) }), title: 'All keys that begin so' }, show(key.slice(start, i + 1))));
        start = i + 1;
      }
    });
    return h('h2', { class: 'mono keyname' }, parts, show(key.slice(start)));
  }

  async function open(key, focus) {
    mark();
    const mine = ++turn;
    try {
      const r = await range({ key: encode(key), revision: revision || '0' });
      if (mine !== turn) return;
      const kv = r.kvs?.[0];
      if (kv) present(key, kv, kv);
      else absent(key);
      if (focus && window.matchMedia('(max-width: 900px)').matches) detail.focus();
    } catch (e) {
      if (mine === turn) fill(detail, h('p', { class: 'error' }, e.message));
    }
  }

  const back = () => button([icon('back'), ' Keys'], () => { selected = null; go(); nothing(); }, 'plain back');

  function absent(key) {
    fill(detail, back(), crumbs(key), h('p', { class: 'quiet' }, 'There is no such key', revision ? ` at revision ${count(revision)}.` : ' any more.'));
  }

  // present shows one version of a key; newest is that which the list has.
  function present(key, kv, newest) {
    const old = kv.mod_revision !== newest.mod_revision || Boolean(revision);
    const past = h('ol', { class: 'history' });
    const older = h('div', { class: 'more' });
    fill(detail, back(), crumbs(key),
      old && h('p', { class: 'note' }, `This is an old version, of revision ${count(kv.mod_revision)}.`),
      meta(kv), viewer(kv.value),
      app.writes() && h('div', { class: 'buttons start' },
        old && !revision ? button('Write this version again', () => editor({ key, kv: newest, start: kv.value, done: open })) : null,
        !old && button('Edit', () => editor({ key, kv, done: open })),
        !old && button('Delete …', () => confirm({
          title: 'Delete a key', action: 'Delete', danger: true,
          will: [`${show(key)} is deleted, if nobody has changed it since revision ${count(kv.mod_revision)}.`, 'Its versions can be read until the history is compacted.'],
          run: async () => { await del(key, kv.mod_revision); toast(`${show(key)} is deleted.`); selected = null; go(); load(); },
        }), 'danger')),
      h('h3', {}, 'History'), past, older);
    mark();
    const one = (v) => h('li', {}, h('button', { type: 'button', class: 'row', 'aria-current': String(v.mod_revision === kv.mod_revision), onclick: () => present(key, v, newest) },
      h('span', { class: 'num' }, 'v' + v.version), h('span', { class: 'mono name' }, glance(v.value)), h('span', { class: 'quiet num' }, 'at ' + count(v.mod_revision))));
    // The version before another one is what there was just before that was written.
    async function walk(v) {
      fill(older, h('span', { class: 'quiet' }, '…'));
      for (let n = 0; n < historySize; n++) {
        past.append(one(v));
        if (v.version === '1') { fill(older, h('span', { class: 'quiet' }, `Made at revision ${count(v.create_revision)}.`)); return; }
        try {
          const r = await range({ key: encode(key), revision: String(BigInt(v.mod_revision) - 1n) });
          if (!past.isConnected) return;
          if (!r.kvs?.length) { fill(older); return; }
          v = r.kvs[0];
        } catch (e) {
          fill(older, h('span', { class: 'quiet' }, /compacted/.test(e.message) ? 'Older versions are compacted.' : e.message));
          return;
        }
      }
      const rest = v;
      fill(older, button('Older versions', () => walk(rest)));
    }
    walk(newest);
  }

  function glance(value) {
    const data = decode(value);
    return data.length ? show(data.subarray(0, 120)) + (data.length > 120 ? '…' : '') : '(empty)';
  }

  const form = h('form', { class: 'tools', role: 'search', onsubmit: (e) => { e.preventDefault(); prefix = parse(input.value); revision = at.value.trim(); selected = null; go(); load(); } },
    h('label', { for: 'prefix' }, 'Keys that begin with', input),
    h('label', { for: 'revision', class: 'narrow' }, 'As of revision', at),
    h('button', { type: 'submit' }, 'Show'), make);
  let wait = 0;
  input.addEventListener('input', () => {
    clearTimeout(wait);
    wait = setTimeout(() => {
      prefix = parse(input.value);
      if (selected && !prefix.every((b, i) => selected[i] === b)) selected = null; // a key that is picked stays while one types
      go();
      load();
    }, 250);
  });
  root.append(h('div', { class: 'pagehead' }, h('h1', {}, 'Keys')), form, h('div', { class: 'split' }, h('div', { class: 'card list' }, summary, list, more), detail));
  load();
  return { root, title: 'Keys', focus: input, update: () => { make.hidden = !app.writes(); } };
}
