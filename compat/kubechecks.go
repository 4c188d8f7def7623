package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// kubeChecks ask an apiserver. What they say is compared; calls to the servers are not recorded.
var kubeChecks = []check{
	{name: "kube/objects", loose: true, run: kubeObjects},
	{name: "kube/pages", loose: true, run: kubePages},
	{name: "kube/watch", loose: true, run: kubeWatches},
	{name: "kube/conflicts", loose: true, run: kubeConflicts},
	{name: "kube/leases", loose: true, run: kubeLeases},
	{name: "kube/events-expire", loose: true, run: kubeEventsExpire},
	{name: "kube/custom-resources", loose: true, run: kubeCustomResources},
	{name: "kube/delete-collection", loose: true, run: kubeDeleteCollection},
	{name: "kube/compaction", loose: true, run: kubeCompacts},
	{name: "kube/leader-change", loose: true, run: func(t *T) {
		t.kubeThrough("leader-change", func() {
			leads, follows := t.leader()
			id := t.status(follows).Header.MemberId
			t.sendTo(leads, &pb.MoveLeaderRequest{TargetID: id})
		})
	}},
	{name: "kube/killed-leader", loose: true, run: func(t *T) {
		t.kubeThrough("killed-leader", func() {
			leads, _ := t.leader()
			t.restart(leads, 2*time.Second)
		})
	}},
	{name: "kube/all-restart", loose: true, run: func(t *T) {
		t.kubeThrough("all-restart", func() {
			for _, s := range t.cluster.servers {
				s.stop(syscall.SIGKILL)
			}
			for _, s := range t.cluster.servers {
				t.fail("start", s.start())
			}
			for _, s := range t.cluster.servers {
				t.fail("ready", s.awaitReady(t.ctx))
			}
		})
	}},
	{name: "kube/cache", loose: true, run: kubeCache},
}

func configMaps(namespace string) string { return "/api/v1/namespaces/" + namespace + "/configmaps" }

func configMap(name, value string, labels ...string) string {
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q,"labels":{%s}},"data":{"v":%q}}`, name, strings.Join(labels, ","), value)
}

// namespace makes one for a check.
func (t *T) namespace(name string) {
	_, code := t.api("POST", "/api/v1/namespaces", fmt.Sprintf(`{"metadata":{"name":%q}}`, name))
	t.say("namespace", "%d", code)
}

// fill creates config maps m-0000 and so on, several at once.
func (t *T) fill(namespace string, n int, value string) {
	var group sync.WaitGroup
	codes := make([]int, n)
	slots := make(chan struct{}, 10)
	for i := range n {
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			code, _, err := t.apiserver().do(t.ctx, "POST", configMaps(namespace), configMap(fmt.Sprintf("m-%04d", i), value, fmt.Sprintf(`"half":"%d"`, i%2)))
			if err == nil {
				codes[i] = code
			}
		})
	}
	group.Wait()
	slices.Sort(codes)
	t.say("created", "%v", slices.Compact(codes))
}

func kubeObjects(t *T) {
	t.kubectl("", "create", "namespace", "objects")
	in := []string{"-n", "objects"}
	do := func(stdin string, args ...string) { t.kubectl(stdin, append(slices.Clone(in), args...)...) }
	do("", "create", "configmap", "a", "--from-literal=x=1", "--from-literal=y=2")
	do("", "create", "configmap", "a", "--from-literal=x=1")
	do("", "get", "configmap", "a", "-o", "jsonpath={.data}")
	do("", "patch", "configmap", "a", "--type=merge", "-p", `{"data":{"x":"3"}}`)
	do("", "patch", "configmap", "a", "--type=json", "-p", `[{"op":"test","path":"/data/x","value":"4"}]`)
	do("", "label", "configmap", "a", "color=red")
	do("", "get", "configmaps", "-l", "color=red", "-o", "name")
	manifest := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"},"data":{"k":"1"}}`
	do(manifest, "apply", "-f", "-")
	do(manifest, "apply", "-f", "-")
	do(strings.Replace(manifest, `"1"`, `"2"`, 1), "apply", "--server-side", "--force-conflicts", "-f", "-")
	do("", "get", "configmap", "b", "-o", "jsonpath={.data}")
	do("", "create", "secret", "generic", "s", "--from-literal=password=p")
	do("", "create", "serviceaccount", "robot")
	do("", "create", "service", "clusterip", "web", "--tcp=80:80")
	do("", "create", "deployment", "web", "--image=none.invalid/x", "--replicas=2")
	do("", "scale", "deployment", "web", "--replicas=5")
	do("", "get", "deployment", "web", "-o", "jsonpath={.spec.replicas} {.metadata.generation}")
	do("", "get", "configmap,secret,serviceaccount,deployment,service", "-o", "name")
	do("", "delete", "configmap", "b")
	do("", "get", "configmap", "b")
	t.kubectl("", "get", "namespaces", "-o", "name")
}

// kubePages reads a list in pages, while objects change between them: all pages are of one revision.
func kubePages(t *T) {
	const n = 250
	t.namespace("pages")
	t.fill("pages", n, strings.Repeat("x", 1000))
	for _, extra := range []string{"", "&labelSelector=half%3D1", "&resourceVersion=0", "&fieldSelector=metadata.name%3Dm-0007"} {
		var names, versions []string
		pages, next := 0, ""
		for {
			list, code := t.api("GET", configMaps("pages")+"?limit=40"+extra+"&continue="+next, "")
			if code != http.StatusOK {
				t.say("page "+extra, "%d %s", code, list.Reason)
				return
			}
			pages++
			for _, o := range list.Items {
				names = append(names, o.Metadata.Name)
			}
			versions = append(versions, list.Metadata.ResourceVersion)
			t.say("left "+extra, "%d", list.Metadata.RemainingItemCount)
			if next = list.Metadata.Continue; next == "" {
				break
			}
			t.api("PUT", configMaps("pages")+"/m-0249", configMap("m-0249", strconv.Itoa(pages), `"half":"1"`))
			t.api("DELETE", configMaps("pages")+"/extra", "")
			t.api("POST", configMaps("pages"), configMap("extra", strconv.Itoa(pages)))
		}
		if strings.Contains(extra, "resourceVersion=0") { // read of the apiserver's cache
			versions, names = nil, slices.DeleteFunc(names, func(name string) bool { return name == "extra" })
		}
		t.say("pages "+extra, "%d with %d objects, sorted %t, of %d revisions", pages, len(names), slices.IsSorted(names), len(slices.Compact(versions)))
		t.api("DELETE", configMaps("pages")+"/extra", "")
	}
	first, _ := t.api("GET", configMaps("pages")+"?limit=1", "")
	t.api("DELETE", configMaps("pages")+"/m-0000", "")
	exact, code := t.api("GET", configMaps("pages")+"?limit=1&resourceVersionMatch=Exact&resourceVersion="+first.Metadata.ResourceVersion, "")
	t.say("of an old revision", "%d %d, the same %t", code, len(exact.Items), exact.Items[0].Metadata.Name == first.Items[0].Metadata.Name)
	_, code = t.api("GET", configMaps("pages")+"?resourceVersion=999999999", "")
	t.say("of a revision to come", "%d", code)
	t.kubectl("", "-n", "pages", "get", "configmaps", "--chunk-size=30", "-o", "name")
}

// kubeWatches compares the events of watches with what was done.
func kubeWatches(t *T) {
	const n = 40
	t.namespace("watch")
	list, _ := t.api("GET", configMaps("watch"), "")
	from := "&resourceVersion=" + list.Metadata.ResourceVersion
	for i := range n {
		name := fmt.Sprintf("w-%02d", i)
		t.api("POST", configMaps("watch"), configMap(name, "1"))
		t.api("PUT", configMaps("watch")+"/"+name, configMap(name, "2"))
		if i%2 == 0 {
			t.api("DELETE", configMaps("watch")+"/"+name, "")
		}
	}
	t.api("POST", configMaps("watch"), configMap("zz", "1"))
	for _, extra := range []string{from, from + "&allowWatchBookmarks=true", from + "&fieldSelector=metadata.name%3Dzz",
		"&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"} {
		var said []string
		before, rising := 0, true
		err := t.kubeWatch(t.ctx, configMaps("watch")+"?watch=true&timeoutSeconds=20"+extra, func(e kubeEvent) bool {
			if e.Type != "BOOKMARK" {
				said = append(said, fmt.Sprintf("%s %s=%s", e.Type, e.Object.Metadata.Name, e.Object.Data["v"]))
				version, _ := strconv.Atoi(e.Object.Metadata.ResourceVersion)
				rising, before = rising && (version > before || strings.Contains(extra, "sendInitial")), version
			}
			return e.Object.Metadata.Name != "zz"
		})
		if strings.Contains(extra, "sendInitial") {
			slices.Sort(said)
		}
		t.say("watch "+strings.ReplaceAll(extra, from, "from"), "%v rising %t: %s", err, rising, strings.Join(said, ", "))
	}
}

// kubeConflicts has several write one object, each with the version that it has read.
func kubeConflicts(t *T) {
	const writers, each = 8, 15
	t.namespace("conflicts")
	t.api("POST", configMaps("conflicts"), configMap("counter", "0"))
	path := configMaps("conflicts") + "/counter"
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for done := 0; done < each && t.ctx.Err() == nil; {
				o, _, err := t.apiserver().object(t.ctx, "GET", path, "")
				if err != nil {
					continue
				}
				n, _ := strconv.Atoi(o.Data["v"])
				body := fmt.Sprintf(`{"metadata":{"name":"counter","resourceVersion":%q},"data":{"v":"%d"}}`, o.Metadata.ResourceVersion, n+1)
				if _, code, err := t.apiserver().object(t.ctx, "PUT", path, body); err == nil && code == http.StatusOK {
					done++
				}
			}
		})
	}
	group.Wait()
	o, _ := t.api("GET", path, "")
	t.say("counted", "%s of %d", o.Data["v"], writers*each)
}

// kubeLeases: leases of Kubernetes are objects, by which its parts elect leaders and say that they live.
func kubeLeases(t *T) {
	const path = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
	type lease struct {
		Metadata struct{ Name, ResourceVersion string } `json:"metadata"`
		Spec     struct {
			HolderIdentity string `json:"holderIdentity"`
			RenewTime      string `json:"renewTime"`
		} `json:"spec"`
	}
	identity := func() (l struct{ Items []lease }) {
		_, text, err := t.apiserver().do(t.ctx, "GET", path+"?labelSelector=apiserver.kubernetes.io/identity%3Dkube-apiserver", "")
		t.fail("leases", err)
		json.Unmarshal([]byte(text), &l)
		return l
	}
	first := identity()
	t.say("of apiservers", "%d", len(first.Items))
	renewed := false
	for begin := time.Now(); len(first.Items) > 0 && !renewed && time.Since(begin) < patience; time.Sleep(500 * time.Millisecond) {
		now := identity()
		renewed = len(now.Items) > 0 && now.Items[0].Spec.RenewTime != first.Items[0].Spec.RenewTime
	}
	t.say("renewed", "%t", renewed)
	body := func(holder, version string) string {
		return fmt.Sprintf(`{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"elect","resourceVersion":%q},"spec":{"holderIdentity":%q,"leaseDurationSeconds":15}}`, version, holder)
	}
	o, code := t.api("POST", path, body("one", ""))
	t.say("create", "%d", code)
	next, code := t.api("PUT", path+"/elect", body("one again", o.Metadata.ResourceVersion))
	t.say("renew", "%d", code)
	stale, code := t.api("PUT", path+"/elect", body("two", o.Metadata.ResourceVersion))
	t.say("take with an old version", "%d %s", code, stale.Reason)
	_, code = t.api("PUT", path+"/elect", body("two", next.Metadata.ResourceVersion))
	t.say("take", "%d", code)
	masters, err := t.client.Get(t.ctx, "/registry/masterleases/", clientv3.WithPrefix())
	t.fail("masterleases", err)
	t.say("masters", "%d, with a lease %t", masters.Count, masters.Count > 0 && masters.Kvs[0].Lease != 0)
}

// kubeEventsExpire: events of Kubernetes are objects with a time to live, which is a lease of the
// store.
func kubeEventsExpire(t *T) {
	t.namespace("events")
	begin := time.Now() // none of their leases has begun
	for i := range 20 {
		_, code := t.api("POST", "/api/v1/namespaces/events/events", fmt.Sprintf(
			`{"metadata":{"name":"e-%d"},"involvedObject":{"namespace":"events"},"reason":"Test","message":"m","type":"Normal"}`, i))
		if code != http.StatusCreated {
			t.say("create", "%d", code)
		}
	}
	list, _ := t.api("GET", "/api/v1/namespaces/events/events", "")
	t.say("events", "%d", len(list.Items))
	for left := len(list.Items); left > 0 && time.Since(begin) < patience; time.Sleep(200 * time.Millisecond) {
		list, _ = t.api("GET", "/api/v1/namespaces/events/events", "")
		left = len(list.Items)
	}
	t.say("expired", "%t, not at once %t", len(list.Items) == 0, time.Since(begin) > kubeEventTTL)
}

func kubeCustomResources(t *T) {
	crd := `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"things.compat.example"},
"spec":{"group":"compat.example","scope":"Namespaced","names":{"plural":"things","singular":"thing","kind":"Thing"},
"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","properties":{"n":{"type":"integer"}}}}}}}]}}`
	t.kubectl(crd, "create", "-f", "-")
	t.kubectl("", "wait", "--for=condition=Established", "crd/things.compat.example", "--timeout=20s")
	t.namespace("things")
	thing := func(n string) string {
		return `{"apiVersion":"compat.example/v1","kind":"Thing","metadata":{"name":"a"},"spec":{"n":` + n + `}}`
	}
	t.kubectl(thing("1"), "-n", "things", "create", "-f", "-")
	t.kubectl(thing(`"text"`), "-n", "things", "create", "-f", "-")
	t.kubectl(thing("2"), "-n", "things", "replace", "-f", "-")
	t.kubectl("", "-n", "things", "get", "things", "-o", "jsonpath={.items[*].spec.n}")
	t.kubectl("", "delete", "crd", "things.compat.example", "--timeout=20s")
	resp, err := t.client.Get(t.ctx, "/registry/compat.example/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	t.fail("count", err)
	t.say("left in the store", "%d", resp.Count)
}

func kubeDeleteCollection(t *T) {
	const n = 120
	t.namespace("collection")
	t.fill("collection", n, "x")
	left := func(step string) {
		resp, err := t.client.Get(t.ctx, "/registry/configmaps/collection/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		t.fail("count", err)
		list, _ := t.api("GET", configMaps("collection"), "")
		t.say(step, "%d in the store, %d listed", resp.Count, len(list.Items))
	}
	left("before")
	_, code := t.api("DELETE", configMaps("collection")+"?labelSelector=half%3D1", "")
	t.say("delete half", "%d", code)
	left("half")
	t.kubectl("", "-n", "collection", "delete", "configmaps", "-l", "half=0", "-o", "name")
	left("none")
}

// kubeCompacts waits until the apiserver has compacted twice, and reads on with a token of before.
func kubeCompacts(t *T) {
	t.namespace("compaction")
	t.fill("compaction", 20, "x")
	path := configMaps("compaction")
	first, _ := t.api("GET", path+"?limit=7", "")
	version := func() int64 {
		resp, err := t.client.Get(t.ctx, "compact_rev_key")
		t.fail("compact_rev_key", err)
		if len(resp.Kvs) == 0 {
			return 0
		}
		return resp.Kvs[0].Version
	}
	begin, rev := version(), first.Metadata.ResourceVersion
	for t.ctx.Err() == nil && version() < begin+2 {
		t.api("PUT", path+"/m-0000", configMap("m-0000", time.Now().String()))
		time.Sleep(time.Second)
	}
	old, err := strconv.ParseInt(rev, 10, 64)
	t.fail("revision", err)
	_, err = t.client.Get(t.ctx, "a", clientv3.WithRev(old))
	t.say("get of then", "%v", err)
	next := func() (kubeObject, int) { return t.api("GET", path+"?limit=7&continue="+first.Metadata.Continue, "") }
	o, code := next()
	for begin := time.Now(); code == http.StatusOK && time.Since(begin) < patience; o, code = next() {
		time.Sleep(time.Second) // the apiserver's cache looks now and then
	}
	t.say("next page", "%d %s, with a token to go on %t", code, o.Reason, o.Metadata.Continue != "")
	if o.Metadata.Continue != "" {
		o, code = t.api("GET", path+"?limit=7&continue="+o.Metadata.Continue, "")
		t.say("next page, of now", "%d with %d", code, len(o.Items))
	}
	o, code = t.api("GET", path+"?limit=3&resourceVersionMatch=Exact&resourceVersion="+rev, "")
	t.say("of then", "%d %s", code, o.Reason)
	token := base64.RawURLEncoding.EncodeToString([]byte(`{"v":"meta.k8s.io/v1","rv":` + rev + `,"start":"m-0003\u0000"}`))
	o, code = t.api("GET", path+"?limit=3&continue="+token, "")
	t.say("token of then", "%d %s", code, o.Reason)
}

// kubeThrough creates objects while something goes wrong. What was created is there, and a watch has
// seen it once.
func (t *T) kubeThrough(namespace string, fault func()) {
	const n = 60
	t.namespace(namespace)
	path := configMaps(namespace)
	list, _ := t.api("GET", path, "")
	var mu sync.Mutex
	seen := map[string]int{}
	version, over := list.Metadata.ResourceVersion, false
	watched := make(chan struct{})
	go func() { // a watch that ends is begun again where it was
		defer close(watched)
		for t.ctx.Err() == nil && !over {
			t.kubeWatch(t.ctx, path+"?watch=true&resourceVersion="+version, func(e kubeEvent) bool {
				mu.Lock()
				defer mu.Unlock()
				if e.Type != "ERROR" {
					version = e.Object.Metadata.ResourceVersion
					seen[e.Type+" "+e.Object.Metadata.Name]++
					over = e.Object.Metadata.Name == "last"
				}
				return !over && e.Type != "ERROR"
			})
		}
	}()
	done := make(chan int)
	go func() {
		created := 0
		for i := range n {
			if t.kubeCreate(path, fmt.Sprintf("c-%02d", i)) {
				created++
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.kubeCreate(path, "last")
		done <- created
	}()
	time.Sleep(700 * time.Millisecond)
	fault()
	t.say("created", "%d of %d", <-done, n)
	select {
	case <-watched:
	case <-time.After(patience):
	}
	mu.Lock()
	defer mu.Unlock()
	once := 0
	for i := range n {
		if seen[fmt.Sprintf("ADDED c-%02d", i)] == 1 {
			once++
		}
	}
	t.say("seen once", "%d, other events %d", once, len(seen)-once-1)
	list, code := t.api("GET", path, "")
	t.say("listed", "%d with %d", code, len(list.Items))
}

// kubeCreate creates an object, whatever it takes. Who is told that it is there already has created it before.
func (t *T) kubeCreate(path, name string) bool {
	for t.ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(t.ctx, 5*time.Second)
		code, _, err := t.apiserver().do(ctx, "POST", path, configMap(name, "x"))
		cancel()
		if err == nil && (code == http.StatusCreated || code == http.StatusConflict) {
			return true
		}
		time.Sleep(50 * time.Millisecond)
	}
	return false
}

var consistentReads = regexp.MustCompile(`(?m)^apiserver_watch_cache_consistent_read_total\{fallback="(\w+)",.*resource="configmaps",success="(\w+)"\} (\d+)`)

// kubeCache: the apiserver answers lists from its cache when the store tells it how far that is.
func kubeCache(t *T) {
	t.namespace("cache")
	counts := func() map[string]int {
		_, text, err := t.apiserver().do(t.ctx, "GET", "/metrics", "")
		t.fail("metrics", err)
		of := map[string]int{}
		for _, m := range consistentReads.FindAllStringSubmatch(text, -1) {
			n, _ := strconv.Atoi(m[3])
			of["fallback "+m[1]+" success "+m[2]] += n
		}
		return of
	}
	before := counts()
	for range 20 {
		t.api("GET", configMaps("cache"), "")
	}
	after := counts()
	t.say("lists from the cache", "%t", after["fallback false success true"]-before["fallback false success true"] >= 20)
	t.say("by asking the store after all", "%d", after["fallback true success true"]-before["fallback true success true"])
	_, text, err := t.apiserver().do(t.ctx, "GET", "/readyz?verbose", "")
	t.fail("readyz", err)
	for line := range strings.Lines(text) {
		if strings.Contains(line, "etcd") {
			t.say("readyz", "%s", line)
		}
	}
}
