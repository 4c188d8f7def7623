// The frame of all pages: where one is, who looks, and what the server says.

import { h, fill, icon, button } from './dom.js';
import { hasToken, overviews, post, setToken } from './api.js';
import { History } from './chart.js';
import * as cluster from './cluster.js';
import * as keys from './keys.js';
import * as watch from './watch.js';
import * as leases from './leases.js';
import * as members from './members.js';
import * as users from './users.js';

const pages = { cluster, keys, watch, leases, members, users };
const titles = { cluster: 'Cluster', keys: 'Keys', watch: 'Watch', leases: 'Leases', members: 'Members', users: 'Users' };

const main = document.getElementById('main');
const nav = document.getElementById('nav');
const foot = document.getElementById('foot');
const banner = document.getElementById('banner');
const history_ = new History();
let overview = null; // the last one
let present = null; // the page that is shown
let looking = null; // an AbortController
let asksLogin = false;

// app is what pages may use.
const app = {
  writes: () => Boolean(overview && overview.writes),
  link: (name, params) => {
    const given = Object.entries(params || {}).filter(([, v]) => v);
    return '#/' + name + (given.length ? '?' + new URLSearchParams(given) : '');
  },
  // remember puts into the address where one is, so that it can be shared.
  remember: (name, params) => history.replaceState(null, '', app.link(name, params)),
  // check looks whether an error means that one has to log in.
  check: (e) => { if (e.unproven) login(); },
};

// Themes: as the system has it, or as it was chosen.
const themes = ['auto', 'light', 'dark'];
let theme = localStorage.getItem('balsa-theme') || 'auto';
function paint() { document.documentElement.dataset.theme = theme; }
paint();

// offered are the pages that one may see: users and rights are root's business.
const offered = () => Object.keys(pages).filter((name) => name !== 'users' || overview?.root);

function frame() {
  const here = location.hash.slice(2).split('?')[0] || 'cluster';
  fill(nav, offered().map((name) => h('a', { href: '#/' + name, 'aria-current': here === name ? 'page' : null }, icon(name), h('span', {}, titles[name]))));
  const signs = { auto: 'auto', light: 'sun', dark: 'moon' };
  fill(foot,
    overview && h('p', { class: 'quiet' }, overview.user ? ['as ', h('b', {}, overview.user)] : overview.auth ? '' : 'without users', overview.writes ? '' : ' · only looking'),
    h('div', { class: 'buttons' },
      button(icon(signs[theme]), () => { theme = themes[(themes.indexOf(theme) + 1) % themes.length]; localStorage.setItem('balsa-theme', theme); paint(); frame(); }, 'plain', { 'aria-label': `Colours: ${theme}`, title: `Colours: ${theme}` }),
      overview?.user && button(icon('out'), () => { setToken(''); location.reload(); }, 'plain', { 'aria-label': 'Log out', title: 'Log out' })));
}

function route() {
  const [name, query] = location.hash.slice(2).split('?');
  const make = pages[name] || pages.cluster;
  if (present && present.leave) present.leave();
  present = make.page(app, new URLSearchParams(query || ''));
  fill(main, present.root);
  document.title = present.title + ' · balsa';
  frame();
  if (overview) present.update(overview, history_);
  main.scrollTop = 0;
}

function tellLost(text) {
  const others = (overview?.members || []).filter((m) => m.id !== overview.self && m.clients?.length && /^https?:\/\//.test(m.clients[0]));
  fill(banner, h('p', { class: 'note bad' }, text, ' ', others.length > 0 && ['Look at another one: ', others.map((m) => [h('a', { href: m.clients[0] + '/ui/', rel: 'noreferrer' }, m.name), ' '])]));
}

async function look() {
  if (looking) looking.abort();
  const mine = looking = new AbortController();
  while (!mine.signal.aborted) {
    try {
      await overviews((o) => {
        const first = !overview;
        const changed = !overview || overview.writes !== o.writes || overview.user !== o.user || overview.auth !== o.auth || overview.root !== o.root;
        overview = o;
        history_.take(o);
        if (banner.firstChild) fill(banner);
        if (first) route();
        else if (present) present.update(o, history_);
        if (changed) frame();
      }, mine.signal);
    } catch (e) {
      if (mine.signal.aborted) return;
      if (e.unproven) { login(); return; }
      tellLost(e.status === 503 && e.message ? `This server cannot answer: ${e.message}.` : 'This server does not answer; it is asked again and again.');
      if (!overview) fill(main, h('p', { class: 'quiet center' }, 'Waiting for the server …'));
    }
    await new Promise((r) => { setTimeout(r, 1000); });
  }
}

function login() {
  if (asksLogin) return;
  asksLogin = true;
  if (looking) looking.abort();
  if (present && present.leave) present.leave();
  present = null;
  const wrong = hasToken() ? 'The login is no longer valid.' : '';
  setToken('');
  const user = h('input', { id: 'user', autocomplete: 'username', required: true, autocapitalize: 'off', spellcheck: 'false' });
  const password = h('input', { id: 'password', type: 'password', autocomplete: 'current-password', required: true });
  const error = h('p', { class: 'error', role: 'alert' }, wrong);
  fill(main, h('form', { class: 'card login', onsubmit: async (e) => {
    e.preventDefault();
    fill(error);
    try {
      const { token } = await post('login', { user: user.value, password: password.value });
      setToken(token);
      asksLogin = false;
      overview = null;
      look();
    } catch (err) {
      fill(error, err.message);
      password.value = '';
      password.focus();
    }
  } }, h('h1', {}, 'Log in'), h('p', { class: 'quiet' }, 'This cluster has users. What you may see and do is what your roles allow.'),
  h('label', { for: 'user' }, 'Name', user), h('label', { for: 'password' }, 'Password', password), error,
  h('button', { type: 'submit', class: 'primary' }, 'Log in'),
  location.protocol === 'http:' && !['localhost', '127.0.0.1', '[::1]'].includes(location.hostname) && h('p', { class: 'note' }, 'This connection has no TLS: whoever is on the way can read the password.')));
  document.title = 'Log in · balsa';
  frame();
  user.focus();
}

window.addEventListener('hashchange', () => { if (!asksLogin) { route(); main.focus(); } });
document.addEventListener('keydown', (e) => {
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName) || document.querySelector('dialog[open]');
  if (typing || e.ctrlKey || e.metaKey || e.altKey) return;
  const name = offered()[Number(e.key) - 1];
  if (e.key === '/' && present?.focus) { e.preventDefault(); present.focus.focus(); }
  else if (name && !asksLogin) location.hash = '#/' + name;
});
document.querySelector('a.skip').addEventListener('click', (e) => { e.preventDefault(); main.focus(); });
frame();
look();
