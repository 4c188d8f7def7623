package ui

import (
	"balsa.example/internal/metrics"
)

// Overview is the cluster as one of its members sees it. Identities are text, since JavaScript has no
// numbers of 64 bits.
type Overview struct {
	Now     int64  `json:"now"` // Unix milliseconds
	Cluster string `json:"cluster"`
	Self    string `json:"self"` // the member that answers
	Name    string `json:"name"`
	Leader  string `json:"leader"` // empty if it knows none
	Writes  bool   `json:"writes"` // the dashboard may change things
	Auth    bool   `json:"auth"`   // users are proved
	User    string `json:"user"`   // who looks; empty without users
	Root    bool   `json:"root"`   // who looks may see users and rights: has the role root, or there are no users

	Members []Member `json:"members"`
	// Notes say what is wrong, the worst first.
	Notes []Note `json:"notes"`
}

// Member is one member.
type Member struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Peers    []string `json:"peers"`
	Clients  []string `json:"clients"`
	Voter    bool     `json:"voter"`
	Promote  bool     `json:"promote"` // it is to vote when it is caught up
	Witness  bool     `json:"witness"`
	Started  bool     `json:"started"`
	Replaces string   `json:"replaces"`
	// Connected tells whether the member that answers has a connection to this one, and RoundTrip how
	// long messages take there and back, in microseconds; 0: not known.
	Connected bool  `json:"connected"`
	RoundTrip int64 `json:"roundTrip"`
	// Behind is how many entries the leader has more; -1: not known.
	Behind   int64 `json:"behind"`
	Diverged bool  `json:"diverged"`
	// Report is what the member says of itself; nil if it does not answer. Why says why.
	Report *Report `json:"report"`
	Why    string  `json:"why"`
}

// Report is what a member says of itself. Members exchange it as JSON: fields may be added.
type Report struct {
	Role    string `json:"role"`
	Version string `json:"version"`
	Uptime  int64  `json:"uptime"` // milliseconds
	Waiting string `json:"waiting"`
	Leader  string `json:"leader"`

	Term      uint64 `json:"term"`
	Commit    uint64 `json:"commit"`
	Applied   uint64 `json:"applied"`
	LastIndex uint64 `json:"lastIndex"`
	Revision  uint64 `json:"revision"`
	Compacted uint64 `json:"compacted"`
	Keys      uint64 `json:"keys"`
	Leases    uint64 `json:"leases"`
	Watchers  int64  `json:"watchers"`
	Clients   int64  `json:"clients"` // connections

	// Sizes are in bytes. DiskFree and MemoryLimit are 0 if not known, Quota if there is none.
	StoreBytes  uint64 `json:"storeBytes"` // keys and values
	Quota       uint64 `json:"quota"`
	DataBytes   uint64 `json:"dataBytes"` // on the disk
	DiskFree    uint64 `json:"diskFree"`
	DiskWait    uint64 `json:"diskWait"` // of the write under way, in milliseconds
	Memory      uint64 `json:"memory"`
	MemoryLimit uint64 `json:"memoryLimit"`

	Alarms       []string      `json:"alarms"` // by their names in the API, in lower case
	AlarmText    string        `json:"alarmText"`
	Certificates []Certificate `json:"certificates"`

	// Points are the newest figures, as many as were asked for.
	Points []metrics.Point `json:"points"`
}

// Certificate is that of one side of a member. Times are Unix milliseconds; 0: it never expires.
type Certificate struct {
	Side        string `json:"side"`
	Expires     int64  `json:"expires"`
	Authorities int64  `json:"authorities"`
}
