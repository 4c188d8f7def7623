// Users, roles and their rights, to look at. Only users with the role root may, once authentication is on.

import { h, fill, chip } from './dom.js';
import { roleOf, rolesList, userOf, usersList } from './api.js';
import { afterPrefix, count, decode, encode, show } from './format.js';

const most = 50; // users, and roles, that are asked for
const accesses = { READ: 'read', WRITE: 'write', READWRITE: 'read and write' };

// keysOf says in words which keys a permission is for.
function keysOf(p) {
  const from = decode(p.key);
  const key = h('b', { class: 'mono' }, show(from));
  const end = p.range_end || '';
  if (!end) return ['the key ', key];
  if (end === 'AA==') return p.key === 'AA==' || !p.key ? 'all keys' : ['all keys from ', key, ' on'];
  if (end === encode(afterPrefix(from))) return ['keys that begin with ', key];
  return ['keys from ', key, ' to before ', h('b', { class: 'mono' }, show(decode(end)))];
}

const text = (name) => show(new TextEncoder().encode(name));
const none = () => h('span', { class: 'quiet' }, 'none');

const userRow = (u) => h('tr', {},
  h('th', { scope: 'row' }, text(u.name)),
  h('td', { 'data-label': 'Roles' }, u.roles.length === 0 ? none() : u.roles.map((r) => [chip(text(r), r === 'root' ? 'good' : ''), ' '])));

const roleRow = (r) => h('tr', {},
  h('th', { scope: 'row' }, text(r.name)),
  h('td', { 'data-label': 'May', class: 'keylist' }, r.rights.length === 0 ? none() : r.rights.map((p) => h('span', { class: 'right' }, accesses[p.permType || 'READ'], ' ', keysOf(p)))));

// some asks for the first of those with these names. One that vanishes meanwhile is left out.
async function some(names, one) {
  return (await Promise.all(names.slice(0, most).map((name) => one(name).catch(() => null)))).filter(Boolean);
}

function table(title, heads, body) {
  const state = h('p', { class: 'quiet', role: 'status' }, '…');
  const root = h('section', { class: 'card' }, h('h2', {}, title), state,
    h('table', { class: 'names' }, h('thead', {}, h('tr', {}, heads.map((t) => h('th', { scope: 'col' }, t)))), body));
  const tell = (shown, all, what) => fill(state, all === 0 ? `There are no ${what}.` : `${count(shown)} of ${count(all)} ${what}`);
  return { root, tell };
}

export function page(app) {
  const state = h('p', { class: 'quiet', role: 'status' }, '…');
  const users = h('tbody', {});
  const roles = h('tbody', {});
  const ofUsers = table('Users', ['User', 'Roles'], users);
  const ofRoles = table('Roles', ['Role', 'May'], roles);
  const filter = h('input', { id: 'user-name', class: 'mono', placeholder: 'any', spellcheck: 'false', autocomplete: 'off', oninput: () => load() });
  let left = false;
  let turn = 0;

  async function load() {
    const mine = ++turn;
    const wanted = (names) => (names || []).filter((name) => name.includes(filter.value.trim()));
    try {
      const [userNames, roleNames] = await Promise.all([usersList(), rolesList()]);
      const [us, rs] = await Promise.all([some(wanted(userNames), userOf), some(wanted(roleNames), roleOf)]);
      if (left || mine !== turn) return;
      ofUsers.tell(us.length, userNames.length, 'users');
      ofRoles.tell(rs.length, roleNames.length, 'roles');
      fill(users, us.map(userRow));
      fill(roles, rs.map(roleRow));
    } catch (e) {
      if (left || mine !== turn) return;
      fill(state, h('span', { class: 'error' }, e.message));
      app.check(e);
      clearInterval(timer);
    }
  }

  const timer = setInterval(load, 10000);
  load();
  const root = h('div', { class: 'page' }, h('div', { class: 'pagehead' }, h('h1', {}, 'Users')), state,
    h('form', { class: 'tools', onsubmit: (e) => { e.preventDefault(); load(); } }, h('label', { for: 'user-name' }, 'With this in their name', filter)),
    ofUsers.root, ofRoles.root,
    h('p', { class: 'quiet' }, 'Users with the role root may do everything. ', h('code', {}, 'balsa user'), ' and ', h('code', {}, 'balsa role'), ' change who may what.'));
  return {
    root, title: 'Users', focus: filter, leave: () => { left = true; clearInterval(timer); },
    update: (o) => {
      if (state.querySelector('.error')) return;
      fill(state, o.auth ? [chip('authentication is on', 'good'), ' Each request needs a user.'] : [chip('authentication is off', 'warn'), ' Whoever reaches the client port may do everything, whatever stands here. ', h('code', {}, 'balsa auth enable'), ' changes that.']);
    },
  };
}
