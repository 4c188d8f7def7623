package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// http asks a member itself, without the recorder, which speaks gRPC alone.
func (t *T) http(method, path, body string, header ...string) (status int, text string) {
	req, err := http.NewRequestWithContext(t.ctx, method, "http://"+t.cluster.servers[0].endpoint+path, strings.NewReader(body))
	t.fail("request", err)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		t.say(method+" "+path, "%s", t.masks.text(err.Error()))
		return 0, ""
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(resp.Body)
	step := method + " " + path
	if body != "" {
		step += " " + body
	}
	said := string(data)
	if strings.Contains(path, "verbose") { // in any order
		lines := strings.Split(said, "\n")
		slices.Sort(lines)
		said = strings.Join(lines, "\n")
	}
	if len(said) > 2000 {
		said = fmt.Sprintf("%d bytes", len(said)/1000*1000)
	}
	t.say(step, "%d %s %s", resp.StatusCode, resp.Header.Get("Content-Type"), t.gatewayText(said))
	return resp.StatusCode, string(data)
}

var gatewayRevision = regexp.MustCompile(`"(revision|create_revision|mod_revision|compact_revision|hash_revision)":"(\d+)"`)

// gatewayText masks the gateway's JSON, in which numbers are texts.
func (t *T) gatewayText(s string) string {
	var compact bytes.Buffer // the gateway's spaces depend on the build
	if json.Compact(&compact, []byte(s)) == nil {
		s = compact.String()
	}
	s = strings.ReplaceAll(s, "\u00a0", " ") // so do those of package protojson
	s = gatewayRevision.ReplaceAllString(s, `"$1":$2`)
	return t.masks.text(s)
}

func b64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// httpChecks ask by HTTP alone: they are compared by what they say.
var httpChecks = []check{
	{name: "http/pages", loose: true, run: httpPages},
	{name: "http/metrics", loose: true, run: httpMetrics},
	{name: "http/kv", loose: true, run: httpKv},
	{name: "http/lease", loose: true, run: httpLease},
	{name: "http/watch", loose: true, run: httpWatch},
	{name: "http/timeout", loose: true, run: httpTimeout},
	{name: "http/others", loose: true, run: httpOthers},
	{name: "http/cors", loose: true, run: httpCors},
}

// httpPages: the pages beside the gateway.
func httpPages(t *T) {
	t.http("GET", "/version", "")
	t.http("GET", "/health", "")
	t.http("GET", "/health?serializable=true", "")
	t.http("GET", "/health?exclude=NOSPACE", "")
	t.http("POST", "/health", "")
	t.http("HEAD", "/health", "")
	t.http("HEAD", "/metrics", "")
	for _, path := range []string{"/livez", "/readyz", "/livez?verbose", "/readyz?verbose", "/readyz/linearizable_read", "/readyz?exclude=data_corruption&verbose", "/livez/serializable_read", "/livez/nonsense"} {
		t.http("GET", path, "")
	}
	t.http("GET", "/nonsense", "")
	t.redirect("GET", "/v3?a=b")
	t.redirect("POST", "/v3")
	t.redirect("GET", "/v3beta")
	t.redirect("GET", "//version")
	leads, follows := t.leader()
	t.say("/debug/vars of the leader", "%s", t.variables(leads))
	t.say("/debug/vars of another", "%s", t.variables(follows))
	t.http("GET", "/", "")
	t.http("GET", "/v3/kv/range", "")
	t.http("POST", "/v3/nonsense", "{}")
	t.http("POST", "/v3alpha/kv/range", "{}")
	t.http("POST", "/v3beta/kv/range", `{"key":"`+b64(t.k("a"))+`"}`)
}

// redirect says where a path leads to.
func (t *T) redirect(method, path string) {
	req, err := http.NewRequestWithContext(t.ctx, method, "http://"+t.cluster.servers[0].endpoint+path, nil)
	t.fail("request", err)
	resp, err := http.DefaultTransport.RoundTrip(req)
	t.fail(path, err)
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	t.say(method+" "+path, "%d %q %s %s", resp.StatusCode, resp.Header.Get("Location"), resp.Header.Get("Content-Type"), body)
}

// variables are the names in /debug/vars of a member, without those of memory, which are Go's.
func (t *T) variables(member int) string {
	_, text, _ := strings.Cut(t.body("http://"+t.cluster.servers[member].endpoint+"/debug/vars"), " ")
	names := strings.Fields(memberInProgress.ReplaceAllString(keysOfJSON(text), "progress.ID."))
	slices.Sort(names)
	names = slices.DeleteFunc(names, func(name string) bool { return strings.HasPrefix(name, ".memstats.") })
	return strings.Join(slices.Compact(names), " ")
}

var memberInProgress = regexp.MustCompile(`progress\.[0-9a-f]+\.`)

// httpMetrics: the names of figures that clients of etcd ask for.
func httpMetrics(t *T) {
	t.awaitMetrics()
	resp, err := http.Get("http://" + t.cluster.servers[0].endpoint + "/metrics")
	t.fail("metrics", err)
	defer resp.Body.Close()
	names := map[string]bool{}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "# TYPE "); ok {
			names[name] = true
		}
	}
	for _, want := range []string{
		"etcd_server_has_leader gauge", "etcd_server_is_leader gauge", "etcd_server_leader_changes_seen_total counter", "etcd_server_quota_backend_bytes gauge",
		"etcd_server_proposals_pending gauge", "etcd_server_proposals_committed_total gauge", "etcd_server_proposals_applied_total gauge", "etcd_server_proposals_failed_total counter",
		"etcd_mvcc_db_total_size_in_bytes gauge", "etcd_mvcc_db_total_size_in_use_in_bytes gauge", "etcd_disk_wal_fsync_duration_seconds histogram",
		"etcd_disk_backend_commit_duration_seconds histogram", "etcd_network_peer_round_trip_time_seconds histogram", "etcd_network_peer_sent_bytes_total counter",
		"etcd_network_peer_received_bytes_total counter", "etcd_network_client_grpc_sent_bytes_total counter", "etcd_network_client_grpc_received_bytes_total counter",
		"grpc_server_handled_total counter", "grpc_server_started_total counter", "process_resident_memory_bytes gauge", "process_open_fds gauge", "process_max_fds gauge",
		"etcd_server_version gauge", "etcd_cluster_version gauge", "etcd_server_id gauge", "go_goroutines gauge", "etcd_server_slow_apply_total counter",
		"etcd_server_heartbeat_send_failures_total counter", "etcd_debugging_mvcc_keys_total gauge", "etcd_debugging_mvcc_watcher_total gauge",
	} {
		t.say(want, "%t", names[want])
	}
}

// httpKv: keys by the gateway.
func httpKv(t *T) {
	k := b64(t.k("a"))
	t.http("POST", "/v3/kv/put", fmt.Sprintf(`{"key":%q,"value":%q}`, k, b64("1")))
	t.http("POST", "/v3/kv/put", fmt.Sprintf(`{"key":%q,"value":%q,"prev_kv":true}`, k, b64("2")))
	t.http("POST", "/v3/kv/put", fmt.Sprintf(`{"key":%q,"value":%q,"prevKv":true}`, k, b64("2")))
	t.http("POST", "/v3/kv/range", fmt.Sprintf(`{"key":%q}`, k))
	t.http("POST", "/v3/kv/range", fmt.Sprintf(`{"key":%q}`, b64("none")))
	t.http("POST", "/v3/kv/range", fmt.Sprintf(`{"key":%q,"range_end":%q,"limit":"1","sort_order":"DESCEND","sort_target":"KEY"}`, b64(t.k("")), b64(string(t.end()))))
	t.http("POST", "/v3/kv/range", fmt.Sprintf(`{"key":%q,"limit":1,"sort_order":2}`, k))
	t.http("POST", "/v3/kv/range", fmt.Sprintf(`{"key":%q,"revision":"100000000"}`, k))
	t.http("POST", "/v3/kv/range", `{}`)
	t.http("POST", "/v3/kv/range", `{"key":"not base64!"}`)
	t.http("POST", "/v3/kv/range", `{"nonsense":1}`)
	t.http("POST", "/v3/kv/range", `{`)
	t.http("POST", "/v3/kv/range", ``)
	t.http("POST", "/v3/kv/txn", fmt.Sprintf(`{"compare":[{"target":"VALUE","key":%q,"value":%q}],"success":[{"requestPut":{"key":%q,"value":%q}}],"failure":[{"request_range":{"key":%q}}]}`, k, b64("2"), k, b64("3"), k))
	t.http("POST", "/v3/kv/txn", fmt.Sprintf(`{"compare":[{"result":"GREATER","target":"VERSION","key":%q,"version":"100"}],"success":[],"failure":[{"request_range":{"key":%q}}]}`, k, k))
	t.http("POST", "/v3/kv/deleterange", fmt.Sprintf(`{"key":%q,"prev_kv":true}`, k))
	t.http("POST", "/v3/kv/compaction", `{"revision":"100000000"}`)
}

// httpLease: leases by the gateway.
func httpLease(t *T) {
	t.http("POST", "/v3/lease/grant", `{"TTL":60,"ID":4001}`)
	t.http("POST", "/v3/lease/grant", `{"TTL":60,"ID":4001}`)
	t.http("POST", "/v3/kv/put", fmt.Sprintf(`{"key":%q,"lease":4001}`, b64(t.k("a"))))
	t.http("POST", "/v3/lease/keepalive", `{"ID":4001}`)
	t.http("POST", "/v3/lease/keepalive", `{"ID":4999}`)
	for _, path := range []string{"/v3/lease/timetolive", "/v3/kv/lease/timetolive"} {
		_, text := t.httpQuiet(path, `{"ID":4001,"keys":true}`)
		t.say(path, "%s", t.gatewayText(text))
	}
	t.http("POST", "/v3/lease/revoke", `{"ID":4001}`)
	t.http("POST", "/v3/kv/lease/revoke", `{"ID":4001}`)
	t.http("POST", "/v3/lease/timetolive", `{"ID":4001}`)
}

// httpWatch: a stream of the gateway.
func httpWatch(t *T) {
	rev := t.put("a", "1")
	t.put("a", "2")
	req, err := http.NewRequestWithContext(t.ctx, "POST", "http://"+t.cluster.servers[0].endpoint+"/v3/watch",
		strings.NewReader(fmt.Sprintf(`{"create_request":{"key":%q,"start_revision":"%d"}}`, b64(t.k("a")), rev)))
	t.fail("request", err)
	resp, err := http.DefaultClient.Do(req)
	t.fail("watch", err)
	defer resp.Body.Close()
	t.say("answer", "%d %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	lines := bufio.NewReader(resp.Body)
	events := 0
	for events < 2 {
		line, err := lines.ReadBytes('\n')
		t.fail("line", err)
		var r struct {
			Result struct {
				Created bool
				Events  []json.RawMessage
			}
		}
		if json.Unmarshal(line, &r) != nil {
			t.say("line", "%s", line)
			return
		}
		if r.Result.Created {
			t.say("created", "%s", t.gatewayText(string(line)))
		}
		for _, e := range r.Result.Events {
			t.say("event", "%s", t.gatewayText(string(e)))
			events++
		}
	}
}

// httpTimeout: requests that say how much time they have.
func httpTimeout(t *T) {
	for _, timeout := range []string{"1n", "x", "1x", "S", "0m", "-1S", "999999999S"} {
		t.http("POST", "/v3/kv/range", `{"key":"YQ=="}`, "Grpc-Timeout", timeout)
	}
	t.http("POST", "/v3/watch", fmt.Sprintf(`{"create_request":{"key":%q}}`, b64(t.k("a"))), "Grpc-Timeout", "300m")
}

// httpOthers: the other services of the gateway.
func httpOthers(t *T) {
	_, status := t.httpQuiet("/v3/maintenance/status", `{}`)
	t.say("status", "%s", keysOfJSON(status))
	_, list := t.httpQuiet("/v3/cluster/member/list", `{}`)
	t.say("members", "%s", keysOfJSON(list))
	t.http("POST", "/v3/maintenance/alarm", `{}`)
	t.http("POST", "/v3/maintenance/defragment", `{}`)
	t.http("POST", "/v3/auth/status", `{}`)
	t.http("POST", "/v3/auth/authenticate", `{"name":"root","password":"x"}`)
	t.http("POST", "/v3/auth/user/list", `{}`)
	_, lock := t.httpQuiet("/v3/lock/lock", fmt.Sprintf(`{"name":%q}`, b64(t.k("l"))))
	t.say("lock", "%s", keysOfJSON(lock))
	t.http("POST", "/v3/lock/unlock", `{}`) // of these services no error has its code
	t.http("POST", "/v3/lock/lock", fmt.Sprintf(`{"name":%q,"lease":4999}`, b64(t.k("l"))))
	t.http("POST", "/v3/election/proclaim", `{"leader":{}}`)
	t.http("POST", "/v3/election/resign", `{}`)
	t.http("POST", "/v3/election/proclaim", fmt.Sprintf(`{"leader":{"name":%q,"key":%q}}`, b64(t.k("p")), b64(t.k("p")))) // without a lease
	_, proclaimed := t.httpQuiet("/v3/kv/range", fmt.Sprintf(`{"key":%q}`, b64(t.k("p"))))
	t.say("proclaimed", "%s", keysOfJSON(proclaimed))
	t.http("POST", "/v3/maintenance/downgrade", `{"action":9}`)
	t.http("POST", "/v3/cluster/member/update", `{"ID":5}`)
	t.http("POST", "/v3/cluster/member/update", `{"ID":5,"peerURLs":["x"]}`)
	t.http("POST", "/v3/election/leader", fmt.Sprintf(`{"name":%q}`, b64(t.k("e"))))
}

// httpCors: what pages of other sites may do.
func httpCors(t *T) {
	for _, method := range []string{"OPTIONS", "POST"} {
		req, err := http.NewRequestWithContext(t.ctx, method, "http://"+t.cluster.servers[0].endpoint+"/v3/kv/range", bytes.NewReader([]byte(`{"key":"YQ=="}`)))
		t.fail("request", err)
		req.Header.Set("Origin", "http://example.com")
		resp, err := http.DefaultClient.Do(req)
		t.fail("answer", err)
		resp.Body.Close()
		t.say(method, "%d %q %q %q", resp.StatusCode, resp.Header.Get("Access-Control-Allow-Origin"), resp.Header.Get("Access-Control-Allow-Methods"), resp.Header.Get("Access-Control-Allow-Headers"))
	}
}

// httpQuiet asks without saying so.
func (t *T) httpQuiet(path, body string) (int, string) {
	client := http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	resp, err := client.Post("http://"+t.cluster.servers[0].endpoint+path, "application/json", strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data)
}
