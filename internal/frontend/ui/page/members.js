// The members, and what an operator does with them.

import { h, fill, button, chip, confirm, dialog, toast } from './dom.js';
import { post } from './api.js';
import { count } from './format.js';
import { nameOf, roleOf } from './cluster.js';

const hostOf = (url) => url.replace(/^https?:\/\//, '');

// startCommand is how a server is started that is to become a member.
function startCommand(o, name, peers, replaced) {
  const join = o.members.filter((m) => m.started && m.connected && m.peers?.length && m.id !== replaced).map((m) => hostOf(m.peers[0])).join(',');
  return ['balsa serve', '--name ' + (/^[\w.-]+$/.test(name) ? name : `'${name.replaceAll("'", `'\\''`)}'`), '--join ' + join, '--listen-peer-urls ' + (peers[0] || 'http://HOST:23800'), '--listen-client-urls http://HOST:23790', '--data-dir AN-EMPTY-DIRECTORY'].join(' \\\n    ');
}

function next(title, name, o, peers, replaced) {
  dialog(title, (close) => [
    h('p', {}, `Now start a server for ${name}, with the flags of the others for TLS and secrets:`),
    h('pre', { class: 'value', tabindex: '0' }, startCommand(o, name, peers, replaced)),
    h('p', { class: 'quiet' }, 'It gets the state from the others, and votes when it is caught up. This page shows how far it is.'),
    h('div', { class: 'buttons' }, button('Done', close, 'primary', { autofocus: true }))], 'wide');
}

function add(o) {
  dialog('Add a member', (close) => {
    const name = h('input', { id: 'add-name', required: true, autocomplete: 'off', spellcheck: 'false', placeholder: 'n4' });
    const peers = h('input', { id: 'add-peers', class: 'mono', autocomplete: 'off', spellcheck: 'false', placeholder: 'http://10.0.0.4:23800' });
    const learner = h('input', { type: 'checkbox', id: 'add-learner' });
    return h('form', { onsubmit: (e) => {
      e.preventDefault();
      const change = { do: 'add', name: name.value.trim(), peers: peers.value.split(',').map((p) => p.trim()).filter(Boolean), learner: learner.checked };
      close();
      confirm({
        title: `Add ${change.name}`, action: 'Add',
        will: async () => (await post('weigh', change)).will,
        run: async () => { await post('members', change); next(`${change.name} has a place`, change.name, o, change.peers); },
      });
    } },
    h('label', { for: 'add-name' }, 'Name', name),
    h('label', { for: 'add-peers' }, 'Where the others will find it (may be left to the server itself)', peers),
    h('label', { class: 'check' }, learner, 'It never votes, unless it is promoted (a learner)'),
    h('div', { class: 'buttons' }, button('Cancel', close), h('button', { type: 'submit', class: 'primary' }, 'Go on …')));
  });
}

async function backUp() {
  try {
    const { path } = await post('backup');
    h('a', { href: path, download: '' }).click();
    toast('The download begins when the server has a checkpoint of its state.');
  } catch (e) {
    toast(e.message, true);
  }
}

export function page(app) {
  const list = h('tbody', {});
  const tools = h('div', { class: 'buttons start' });
  const hint = h('p', { class: 'quiet' });
  let before = '';

  function actions(o, m) {
    const name = m.name || 'member ' + m.id;
    const ask = (what, change, more = {}) => confirm({
      title: `${what} ${name}`, action: what, will: async () => (await post('weigh', change)).will,
      run: async () => { await post('members', change); toast(`${name}: done.`); }, ...more,
    });
    const all = [];
    if (m.voter && m.started && m.id !== o.leader && !m.witness) {
      all.push(button('Make leader …', () => confirm({
        title: `Let ${name} lead`, action: 'Move the leader',
        will: [`${nameOf(o, o.leader)} hands over to ${name}, as soon as ${name} has all that is written.`, 'Requests wait meanwhile, for about one round trip. Nothing is lost.', ...(m.connected ? [] : [`Mind that ${name} does not answer now.`])],
        run: async () => { await post('leader', { member: m.id }); toast(`${name} leads.`); },
      })));
    }
    if (!m.voter && !m.promote && m.started) all.push(button('Promote …', () => ask('Promote', { do: 'promote', member: m.id })));
    if (m.started) {
      all.push(button('Replace …', () => ask('Replace', { do: 'replace', member: m.id }, {
        action: 'Make a place',
        run: async () => { await post('members', { do: 'replace', member: m.id }); next(`A place in the stead of ${name}`, m.name, o, [], m.id); },
      })));
    }
    all.push(button('Remove …', () => ask('Remove', { do: 'remove', member: m.id }, { danger: true, typed: name }), 'danger'));
    return all;
  }

  function row(o, m) {
    const [role, kind] = roleOf(m);
    return h('tr', {},
      h('th', { scope: 'row' }, m.name || 'no name yet', m.id === o.self && h('span', { class: 'quiet' }, ' · this server')),
      h('td', { 'data-label': 'Role' }, chip(role, kind), !m.voter && !m.promote && h('span', { class: 'quiet' }, ' does not vote'), m.replaces && h('span', { class: 'quiet' }, ` for ${nameOf(o, m.replaces)}`)),
      h('td', { 'data-label': 'Peers', class: 'mono' }, (m.peers || []).map((u) => h('div', {}, u))),
      h('td', { 'data-label': 'Clients', class: 'mono' }, (m.clients || []).map((u) => h('div', {}, /^https?:\/\//.test(u) && m.id !== o.self ? h('a', { href: u + '/ui/', rel: 'noreferrer' }, u) : u))),
      h('td', { 'data-label': 'Id', class: 'mono quiet' }, m.id.length > 8 ? h('span', { title: `${BigInt(m.id).toString(16)}, in decimal ${m.id}` }, BigInt(m.id).toString(16).slice(0, 6) + '…') : m.id),
      app.writes() && h('td', { class: 'act' }, h('div', { class: 'buttons start' }, actions(o, m))));
  }

  const head = h('tr', {});
  const root = h('div', { class: 'page' },
    h('div', { class: 'pagehead' }, h('h1', {}, 'Members'), tools), hint,
    h('div', { class: 'card' }, h('table', { class: 'wide' }, h('thead', {}, head), list)),
    h('section', { class: 'card backup' }, h('h2', {}, 'Back up'),
      h('p', {}, 'A backup has all keys and their history, leases, users and roles, as they are at one revision. The cluster goes on meanwhile.'),
      h('div', { class: 'buttons start' }, button('Download a backup …', () => confirm({
        title: 'Download a backup', action: 'Download',
        will: ['This server writes a checkpoint of its state, and sends it with the files of the history, as a tar file.', 'It has everything that was acknowledged until now, and the hashes of passwords: keep it where only you can read it.', 'Unpacked, it is a directory for "balsa backup verify" and "balsa restore".'],
        run: backUp,
      }), 'primary')),
      h('p', { class: 'quiet' }, 'For backups time and again use ', h('code', {}, 'balsa backup DIR'), ', which fetches only what is new.')));
  return {
    root,
    title: 'Members',
    update(o) {
      const shown = JSON.stringify([o.writes, o.leader, o.members.map((m) => [m.id, m.name, m.voter, m.promote, m.started, m.connected, m.report?.role, m.peers, m.clients])]);
      if (shown === before) return;
      before = shown;
      const focused = document.activeElement;
      const at = list.contains(focused) ? [...list.querySelectorAll('button, a')].indexOf(focused) : -1;
      fill(head, ['Member', 'Role', 'Peers find it at', 'Clients find it at', 'Id', ...(o.writes ? ['Actions'] : [])].map((t) => h('th', { scope: 'col' }, t)));
      fill(list, o.members.map((m) => row(o, m)));
      if (at >= 0) list.querySelectorAll('button, a')[at]?.focus();
      fill(tools, o.writes && button('Add a member …', () => add(o), 'primary'));
      fill(hint, o.writes ? `${count(o.members.filter((m) => m.voter).length)} members vote.` : ['This dashboard only shows. Started with ', h('code', {}, '--ui-writes'), ' the server lets it change things.']);
    },
  };
}
