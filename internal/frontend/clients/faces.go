package clients

import "balsa.example/internal/metrics"

// faceCount counts the connections that speak one protocol. Port.mu guards it.
type faceCount struct {
	open int64
	all  uint64
}

// speaks notes what a connection speaks.
func (cl *Client) speaks(what protocol) {
	p := cl.port
	p.mu.Lock()
	defer p.mu.Unlock()
	if cl.gone {
		return
	}
	if cl.face = &p.overGRPC; what != speaksGRPC {
		cl.face = &p.overHTTP
	}
	cl.face.open++
	cl.face.all++
}

// Connections are how many there are, and were, by what they speak.
func (p *Port) Connections() []metrics.Connections {
	p.mu.Lock()
	defer p.mu.Unlock()
	return []metrics.Connections{
		{Face: "grpc", Open: p.overGRPC.open, All: p.overGRPC.all},
		{Face: "http", Open: p.overHTTP.open, All: p.overHTTP.all},
	}
}
