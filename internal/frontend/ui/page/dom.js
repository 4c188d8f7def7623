// Elements are made by functions, never of text with markup: what keys and values contain stays text.

const svgNames = new Set(['svg', 'path', 'g', 'rect', 'line', 'text', 'circle', 'title', 'polyline']);

// h makes an element. Properties that begin with "on" are listeners; true is an attribute without a value,
// and null, undefined and false leave it out. Children are elements, texts, lists of both, or nothing.
export function h(name, props, ...children) {
  const svg = svgNames.has(name) && name !== 'title';
  const e = svg ? document.createElementNS('http://www.w3.org/2000/svg', name) : document.createElement(name);
  for (const [key, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) e.addEventListener(key.slice(2), value);
    else if (key === 'value') e.value = value;
    else if (key === 'style') for (const [k, v] of Object.entries(value)) e.style.setProperty(k, v);
    else e.setAttribute(key, value === true ? '' : value);
  }
  add(e, children);
  return e;
}

function add(e, children) {
  for (const c of children) {
    if (Array.isArray(c)) add(e, c);
    else if (c !== null && c !== undefined && c !== false) e.append(c);
  }
}

// fill replaces what an element contains.
export function fill(e, ...children) {
  e.replaceChildren();
  add(e, children);
  return e;
}

// icon draws one of a few signs.
const icons = {
  cluster: 'M12 4.500a2.2 2.2 0 1 0 0 .01M5 17.500a2.2 2.2 0 1 0 0 .01M19 17.500a2.2 2.2 0 1 0 0 .01M10.9 6.6 6.2 15.400M13.1 6.600l4.7 8.800M7.4 17.500h9.2',
  keys: 'M4 6h16M4 12h10M4 18h13',
  watch: 'M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM12 9.300a2.7 2.7 0 1 0 .01 0',
  leases: 'M12 7.500V12l3 2M12 3.500a8.5 8.5 0 1 0 .01 0',
  members: 'M4 5.500h16v5H4zM4 13.500h16v5H4zM7.5 8h.01M7.5 16h.01',
  users: 'M12 4.500a3.500 3.500 0 1 0 .01 0M4.5 19.500c.6-4 3.600-6 7.500-6s6.900 2 7.500 6',
  sun: 'M12 8a4 4 0 1 0 .01 0M12 2.500v2M12 19.500v2M2.5 12h2M19.5 12h2M5.3 5.300l1.4 1.400M17.3 17.300l1.4 1.400M5.3 18.700l1.4-1.400M17.3 6.700l1.4-1.4',
  moon: 'M19.5 14.200A8 8 0 0 1 9.8 4.500a8 8 0 1 0 9.7 9.700z',
  auto: 'M12 3.500a8.5 8.5 0 1 0 .01 0M12 3.500v17M12 7l6.5 1.500M12 12h8.500M12 17l6.5-1.5',
  back: 'M14.5 5.5 8 12l6.5 6.5',
  out: 'M14 5H6v14h8M10 12h10M16.5 8.5 20 12l-3.5 3.5',
};

export function icon(name) {
  return h('svg', { viewBox: '0 0 24 24', class: 'icon', 'aria-hidden': 'true' }, h('path', { d: icons[name] }));
}

export function button(text, onclick, kind = '', props = {}) {
  return h('button', { type: 'button', class: kind, onclick, ...props }, text);
}

// chip is a word in a coloured pill.
export function chip(text, kind = '') {
  return h('span', { class: 'chip ' + kind }, text);
}

// toast tells in passing that something was done.
export function toast(text, bad = false) {
  const t = h('p', { class: bad ? 'toast bad' : 'toast' }, text);
  document.getElementById('toasts').append(t);
  setTimeout(() => t.remove(), bad ? 9000 : 4500);
}

// dialog opens a dialog. body is called with a function that closes it.
export function dialog(title, body, kind = '') {
  const before = document.activeElement;
  const d = h('dialog', { 'aria-labelledby': 'dialog-title', class: kind });
  const close = () => d.close();
  d.addEventListener('close', () => {
    d.remove();
    if (before && before.isConnected) before.focus();
  });
  fill(d, h('h2', { id: 'dialog-title' }, title), body(close));
  document.body.append(d);
  d.showModal();
  return d;
}

// confirm asks before something is done. will has sentences that say what will happen, or is a function
// that fetches them: if it fails, nothing can be done. With typed the user has to type that word.
export function confirm({ title, will, action, danger, typed, run }) {
  dialog(title, (close) => {
    const what = h('div', { class: 'will', 'aria-live': 'polite' }, h('p', { class: 'quiet' }, 'Asking the cluster …'));
    const error = h('p', { class: 'error', role: 'alert' });
    const word = typed && h('input', { id: 'typed', autocomplete: 'off', spellcheck: 'false', oninput: () => { go.disabled = word.value !== typed; } });
    const go = button(action, async () => {
      go.disabled = true;
      fill(error);
      try {
        await run();
        close();
      } catch (e) {
        fill(error, e.message);
        go.disabled = Boolean(typed) && word.value !== typed;
      }
    }, danger ? 'danger' : 'primary', { disabled: true });
    const known = async () => (typeof will === 'function' ? await will() : will);
    known().then((sentences) => {
      fill(what, h('ul', {}, sentences.map((s) => h('li', {}, s))));
      go.disabled = Boolean(typed);
    }, (e) => {
      fill(what, h('p', { class: 'error', role: 'alert' }, e.message));
      if (word) word.disabled = true;
    });
    return [what, word && h('label', { for: 'typed' }, h('span', {}, 'Type ', h('b', {}, typed), ' to go on'), word), error,
      h('div', { class: 'buttons' }, button('Cancel', close, '', { autofocus: true }), go)];
  });
}
