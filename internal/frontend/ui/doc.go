// Package ui is the dashboard that a server shows at /ui of its client port: the cluster at a glance,
// its keys, watches and leases, who may what, and what an operator does with its members.
//
//	/ui/                  the page, of files in this package: no network, no build step
//	/ui/api/...           what the page asks for, in JSON
//	/ui/api/overview      all members, and what each says of itself, once a second (server-sent events)
//	/ui/api/v3/...        some methods of the etcd API as JSON, as the gateway answers them
//
// The dashboard decides nothing. Users, rights, checks and errors are those of the APIs that it stands
// on. What it adds is protection from other web pages: a browser holds no credentials for it but a token
// that the page sends itself, a request that another page has made is refused, and the page shows texts
// as texts, whatever they contain.
package ui
