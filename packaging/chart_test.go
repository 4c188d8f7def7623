package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const chartFolder = "helm/balsa"

// settings are values for the chart, each a case with everything that it brings in.
var settings = map[string]string{
	"a secret": `clusterSecret: secret`,
	"one member": `
replicas: 1
insecure: true
antiAffinity: none
podDisruptionBudget: {enabled: false}`,
	"all": `
replicas: 5
cluster: existing
image: {repository: registry.example/balsa, tag: v1.2.3, pullPolicy: Always}
imagePullSecrets: [{name: pull}]
storage: {size: 1Gi, className: fast}
flags: {history-age: 2h, lease-reads: true, log-format: json, history-revisions: 1000000}
tls: {client: {secret: client-tls, auth: true}, peer: {secret: peer-tls}}
service: {type: LoadBalancer, annotations: {a: b}}
antiAffinity: soft
nodeSelector: {disk: ssd}
tolerations: [{key: db, operator: Exists}]
topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app.kubernetes.io/name: balsa}}}]
priorityClassName: high
podAnnotations: {c: d}
serviceAccount: {annotations: {e: f}}
serviceMonitor: {enabled: true, labels: {release: prometheus}}
prometheusRule: {enabled: true, labels: {release: prometheus}}
networkPolicy: {enabled: true, clients: [{namespaceSelector: {}}], metrics: [{podSelector: {matchLabels: {app: prometheus}}}]}
backup: {enabled: true, className: slow, userSecret: root-user, tlsSecret: backup-tls}`,
	"a secret and a backup": `
clusterSecret: secret
resources: {}
networkPolicy: {enabled: true}
backup: {enabled: true, existingClaim: mine}`,
}

// valuesOf parses values.
func valuesOf(t *testing.T, text string) map[string]any {
	t.Helper()
	values := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(text), &values); err != nil {
		t.Fatal(err)
	}
	return values
}

// tryRender returns the files that the chart makes of values.
func tryRender(t *testing.T, text string) (map[string]string, error) {
	t.Helper()
	chart, err := loader.Load(chartFolder)
	if err != nil {
		t.Fatal(err)
	}
	release := chartutil.ReleaseOptions{Name: "balsa", Namespace: "db", IsInstall: true}
	values, err := chartutil.ToRenderValues(chart, valuesOf(t, text), release, chartutil.DefaultCapabilities)
	if err != nil {
		t.Fatal(err)
	}
	return engine.Render(chart, values)
}

// render returns the documents that the chart makes of values, by kind and name.
func render(t *testing.T, text string) map[string]string {
	t.Helper()
	files, err := tryRender(t, text)
	if err != nil {
		t.Fatal(err)
	}
	documents := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if path.Ext(name) != ".yaml" {
			continue
		}
		for _, document := range strings.Split(files[name], "\n---\n") {
			var head struct {
				metav1.TypeMeta   `json:",inline"`
				metav1.ObjectMeta `json:"metadata"`
			}
			if err := yaml.Unmarshal([]byte(document), &head); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, document)
			}
			if head.Kind != "" {
				if head.Namespace != "db" {
					t.Errorf("%s %s is in the namespace %q", head.Kind, head.Name, head.Namespace)
				}
				documents[head.Kind+" "+head.Name] = document
			}
		}
	}
	return documents
}

// decode reads a document, and refuses fields that its type lacks.
func decode[T any](t *testing.T, documents map[string]string, name string) (object T) {
	t.Helper()
	document, ok := documents[name]
	if !ok {
		t.Fatalf("no %s in %q", name, slices.Sorted(maps.Keys(documents)))
	}
	if err := yaml.UnmarshalStrict([]byte(document), &object); err != nil {
		t.Errorf("%s: %v\n%s", name, err, document)
	}
	return object
}

func TestTheChartHasNoLint(t *testing.T) {
	with := maps.Clone(settings)
	with["defaults"] = "" // which lint reads, although they are not rendered
	for name, text := range with {
		for _, m := range lint.All(chartFolder, valuesOf(t, text), "db", true).Messages {
			if m.Severity > support.InfoSev {
				t.Errorf("%s: %s", name, m)
			}
		}
	}
}

func TestTheChartRefusesValuesThatItLacks(t *testing.T) {
	chart, err := loader.Load(chartFolder)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"replicas: 2", "cluster: old", "replica: 3", "tls: {client: {secrets: a}}", "antiAffinity: none-at-all", "flags: {--name: a}"} {
		if _, err := chartutil.ToRenderValues(chart, valuesOf(t, text), chartutil.ReleaseOptions{}, nil); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

// With the defaults nobody would know a member from a stranger: the chart says what to do. One value of three is enough.
func TestTheChartLeavesNoPeerPortOpenUnasked(t *testing.T) {
	_, err := tryRender(t, "")
	if err == nil {
		t.Fatal("it renders a peer port for everybody")
	}
	for _, want := range []string{"kubectl -n db create secret generic balsa-cluster --from-literal=secret=", "--set clusterSecret=balsa-cluster", "tls.peer.secret", "insecure=true"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	for value, told := range map[string]string{"clusterSecret: s": "--cluster-secret-file=", "tls: {peer: {secret: p}}": "--peer-client-cert-auth=true", "insecure: true": ""} {
		files, err := tryRender(t, value)
		if err != nil {
			t.Errorf("%s: %v", value, err)
		}
		if set := files["balsa/templates/statefulset.yaml"]; !strings.Contains(set, told) || set == "" {
			t.Errorf("%s: no %q in %s", value, told, set)
		}
		if notes := files["balsa/templates/NOTES.txt"]; strings.Contains(notes, "INSECURE") != (told == "") {
			t.Errorf("%s: the notes say %s", value, notes)
		}
	}
}

// With another number of pods those that run are the same, so that none is started anew.
func TestAnotherNumberOfPodsRestartsNone(t *testing.T) {
	var templates []string
	for _, n := range []int{1, 3, 5, 7} {
		documents := render(t, fmt.Sprintf("{replicas: %d, cluster: existing, insecure: true}", n))
		set := decode[appsv1.StatefulSet](t, documents, "StatefulSet balsa")
		templates = append(templates, set.Spec.Template.String())
	}
	if templates = slices.Compact(templates); len(templates) != 1 {
		t.Errorf("%d templates of pods", len(templates))
	}
}

// A job of Prometheus is one cluster, also where other namespaces have clusters of this name.
func TestTheMonitorsJobIsOneCluster(t *testing.T) {
	documents := render(t, "{serviceMonitor: {enabled: true}, insecure: true}")
	var monitor struct {
		Spec struct {
			Endpoints []struct {
				Relabelings []struct{ TargetLabel, Replacement string }
			}
		}
	}
	if err := yaml.Unmarshal([]byte(documents["ServiceMonitor balsa"]), &monitor); err != nil {
		t.Fatal(err)
	}
	if of := monitor.Spec.Endpoints[0].Relabelings; len(of) != 1 || of[0].TargetLabel != "job" || of[0].Replacement != "db/balsa" {
		t.Errorf("the job is %v", of)
	}
}

// The alerts of the chart are those of the repository: a chart can hold no file from outside of its folder.
func TestTheChartHasTheAlertsOfTheManual(t *testing.T) {
	const file = "balsa.rules.yaml"
	want, err := os.ReadFile(filepath.Join("..", "ops", "prometheus", file))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(chartFolder, file)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not that of ops/prometheus, %v: cp ../ops/prometheus/%s %s", file, err, file, chartFolder)
	}
	var rule struct{ Spec any }
	var rules any
	document := render(t, "{prometheusRule: {enabled: true}, insecure: true}")["PrometheusRule balsa"]
	if err := errors.Join(yaml.Unmarshal([]byte(document), &rule), yaml.Unmarshal(want, &rules)); err != nil || !reflect.DeepEqual(rule.Spec, rules) {
		t.Errorf("the chart makes other alerts of them, %v:\n%s", err, document)
	}
}

// Only members reach the peer port. Others reach the client port and the metrics unless it is said who; members and
// backups do in any case.
func TestWhoMayReachAMember(t *testing.T) {
	const one = "[{podSelector: {matchLabels: {app: mine}}}]"
	for text, want := range map[string]map[string]int{ // how many may, 0: everybody
		"{enabled: true}": {"peer": 1, "client": 0, "metrics": 0},
		"{enabled: true, clients: " + one + ", metrics: " + one + "}": {"peer": 1, "client": 3, "metrics": 1},
	} {
		documents := render(t, "{insecure: true, backup: {enabled: true}, networkPolicy: "+text+"}")
		policy := decode[networkingv1.NetworkPolicy](t, documents, "NetworkPolicy balsa")
		set := decode[appsv1.StatefulSet](t, documents, "StatefulSet balsa")
		job := decode[batchv1.CronJob](t, documents, "CronJob balsa-backup")
		got := map[string]int{}
		for _, rule := range policy.Spec.Ingress {
			got[rule.Ports[0].Port.String()] = len(rule.From)
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: %v may reach the ports, want %v", text, got, want)
		}
		selects := func(s *metav1.LabelSelector, labels map[string]string) bool {
			return len(s.MatchLabels) > 0 && maps.Equal(s.MatchLabels, intersect(s.MatchLabels, labels))
		}
		members := set.Spec.Template.Labels
		if !selects(&policy.Spec.PodSelector, members) || !selects(policy.Spec.Ingress[0].From[0].PodSelector, members) {
			t.Errorf("%s: it is not about members: %v", text, policy.Spec)
		}
		if from := policy.Spec.Ingress[1].From; len(from) > 0 && (!selects(from[0].PodSelector, members) || !selects(from[1].PodSelector, job.Spec.JobTemplate.Spec.Template.Labels)) {
			t.Errorf("%s: backups or members cannot reach the client port: %v", text, from)
		}
	}
}

// Each document has the fields of its type alone, and each command line is one of this balsa.
func TestManifestsAreSound(t *testing.T) {
	balsa := unpack(t, one(t, "*.tar.gz"), t.TempDir())
	for name, text := range settings {
		documents := render(t, text)
		for document := range documents {
			var pod corev1.PodSpec
			switch kind, _, _ := strings.Cut(document, " "); kind {
			case "StatefulSet":
				set := decode[appsv1.StatefulSet](t, documents, document)
				pod = set.Spec.Template.Spec
				if !maps.Equal(set.Spec.Selector.MatchLabels, intersect(set.Spec.Selector.MatchLabels, set.Spec.Template.Labels)) {
					t.Errorf("%s: %s does not select its own pods", name, document)
				}
			case "CronJob":
				job := decode[batchv1.CronJob](t, documents, document)
				pod = job.Spec.JobTemplate.Spec.Template.Spec
			case "Service":
				decode[corev1.Service](t, documents, document)
			case "ServiceAccount":
				decode[corev1.ServiceAccount](t, documents, document)
			case "PersistentVolumeClaim":
				decode[corev1.PersistentVolumeClaim](t, documents, document)
			case "PodDisruptionBudget":
				decode[policyv1.PodDisruptionBudget](t, documents, document)
			case "NetworkPolicy":
				decode[networkingv1.NetworkPolicy](t, documents, document)
			case "ServiceMonitor", "PrometheusRule": // of no type of Kubernetes
			default:
				t.Errorf("%s: what is a %s?", name, document)
			}
			for _, container := range pod.Containers {
				balsaTakes(t, balsa, container.Args...)
				checkMounts(t, pod, container)
				checkSecurity(t, pod, container)
			}
		}
		if _, ok := documents["PodDisruptionBudget balsa"]; ok == strings.Contains(text, "enabled: false") {
			t.Errorf("%s: disruption budget: %t", name, ok)
		}
	}
}

// intersect is what of a is in b.
func intersect(a, b map[string]string) map[string]string {
	both := maps.Clone(a)
	maps.DeleteFunc(both, func(key, value string) bool { return b[key] != value })
	return both
}

// checkMounts finds mounts without a volume, volumes without a mount, and files that no mount has.
func checkMounts(t *testing.T, pod corev1.PodSpec, c corev1.Container) {
	t.Helper()
	mounted := map[string]bool{"data": true} // a claim of the set
	for _, v := range pod.Volumes {
		mounted[v.Name] = false
	}
	for _, m := range c.VolumeMounts {
		if _, ok := mounted[m.Name]; !ok {
			t.Errorf("%s: the mount %s has no volume", c.Name, m.Name)
		}
		mounted[m.Name] = true
	}
	for name, ok := range mounted {
		if !ok {
			t.Errorf("%s: the volume %s is nowhere mounted", c.Name, name)
		}
	}
	for _, arg := range c.Args {
		_, file, found := strings.Cut(arg, "=/")
		if found && !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return strings.HasPrefix("/"+file, m.MountPath+"/") }) {
			t.Errorf("%s: nothing is mounted for %s", c.Name, arg)
		}
	}
}

// checkSecurity demands what the restricted standard of pods demands.
func checkSecurity(t *testing.T, pod corev1.PodSpec, c corev1.Container) {
	t.Helper()
	s, p := c.SecurityContext, pod.SecurityContext
	if p == nil || s == nil || !*p.RunAsNonRoot || *p.RunAsUser == 0 || p.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault ||
		*s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || len(s.Capabilities.Drop) != 1 || s.Capabilities.Drop[0] != "ALL" ||
		*pod.AutomountServiceAccountToken || *pod.EnableServiceLinks {
		t.Errorf("%s: %+v, %+v", c.Name, p, s)
	}
}

// The servers of the chart, as it renders them, become a cluster that is ready and that its job backs up.
func TestTheRenderedClusterServes(t *testing.T) {
	for name, text := range map[string]string{
		"plain":         "{insecure: true, backup: {enabled: true}}",
		"with a secret": "{clusterSecret: s, backup: {enabled: true}}",
		"with TLS":      "{tls: {client: {secret: c, auth: true}, peer: {secret: p}}, backup: {enabled: true, tlsSecret: b}}",
	} {
		t.Run(name, func(t *testing.T) {
			documents := render(t, text)
			job := decode[batchv1.CronJob](t, documents, "CronJob balsa-backup")
			n, hosts := newPods(t, 3)
			n.run(documents, 0, 1, 2)
			backup := job.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Args
			reach := append(backup[2:], "--timeout=60s") // endpoints and certificates
			n.balsa("", append([]string{"put", "greeting", "hello"}, reach...)...)
			n.balsa("", append([]string{"backup"}, backup[1:]...)...)
			if points := n.balsa("", "backup", "list", n.dir+"/backup/balsa"); !strings.Contains(points, "2") {
				t.Errorf("no point in the backup: %s", points)
			}
			for _, host := range hosts {
				n.await(host, "health", "--endpoints", "http://"+n.addresses[host]+":23810")
			}
		})
	}
}

// newPods is the network of some pods of the chart, and what their secrets hold.
func newPods(t *testing.T, count int) (n *network, hosts []string) {
	t.Helper()
	service := "balsa.db.svc"
	var pods []string
	for i := range count {
		pods = append(pods, fmt.Sprintf("balsa-%d", i))
		hosts = append(hosts, pods[i]+".balsa-headless.db.svc.cluster.local")
	}
	n = newNetwork(t, append(hosts, service)...)
	n.give(service, hosts[0]) // a service leads to any member
	writeFiles(t, filepath.Join(n.dir, "secret"), map[string][]byte{"secret": []byte(strings.Repeat("random ", 8))})
	for _, side := range []string{"client", "peer", "backup"} {
		writeFiles(t, filepath.Join(n.dir, "tls", side), certificate(t, append(append([]string{service}, pods...), hosts...)...))
	}
	return n, hosts
}

// run starts some of the pods that documents describe.
func (n *network) run(documents map[string]string, which ...int) (all []*pod) {
	n.t.Helper()
	set := decode[appsv1.StatefulSet](n.t, documents, "StatefulSet balsa")
	for _, i := range which {
		name := fmt.Sprintf("%s-%d", set.Name, i)
		host := name + "." + set.Spec.ServiceName + ".db.svc.cluster.local"
		all = append(all, n.serve(host, replaceAll(set.Spec.Template.Spec.Containers[0].Args, "$(POD)", name)))
	}
	return all
}

// What docs/install.md says of later: three pods become five, one loses its volume, two are taken away.
func TestTheRenderedClusterGrowsMendsAndShrinks(t *testing.T) {
	for name, text := range map[string]string{"with a secret": "clusterSecret: s", "with TLS": "tls: {peer: {secret: p}}"} {
		t.Run(name, func(t *testing.T) {
			n, hosts := newPods(t, 5)
			existing := render(t, fmt.Sprintf("{%s, cluster: existing, replicas: 5}", text))
			reach := "--endpoints=http://" + hosts[0] + ":23790"
			voters := func(count int) {
				t.Helper()
				n.awaitOutput(hosts[0], func(out string) bool {
					return strings.Count(out, " voter ")+strings.Count(out, " leader ") == count && strings.Count(out, "\n") == count+1
				}, "member", "list", reach)
			}
			begins := render(t, fmt.Sprintf("{%s, cluster: new}", text))
			pods := n.run(begins, 0, 1, 2)
			n.balsa("", "put", "greeting", "hello", reach, "--timeout=60s")

			if err := pods[2].end(); err != nil { // a pod that has its data goes on as before
				t.Fatal(err)
			}
			pods[2] = n.run(existing, 2)[0]
			pods = append(pods, n.run(existing, 3, 4)...)
			voters(5)

			if err := pods[1].end(); err != nil {
				t.Fatal(err)
			}
			for _, chart := range []map[string]string{begins, existing} {
				n.empty("balsa-1")
				n.ends(n.run(chart, 1)[0], 1, "balsa member replace balsa-1")
			}
			n.balsa("", "member", "replace", "balsa-1", reach)
			n.run(existing, 1)
			voters(5)

			n.balsa("", "member", "remove", "balsa-4", reach)
			n.ends(pods[4], 15, "removed from the cluster")
			n.balsa("", "member", "remove", "balsa-3", reach)
			n.ends(pods[3], 15, "removed from the cluster")
			voters(3)
			if out := n.balsa("", "get", "greeting", "--endpoints=http://"+hosts[1]+":23790"); out != "hello\n" {
				t.Errorf("get prints %q", out)
			}
		})
	}
}

// empty takes the data of a pod away.
func (n *network) empty(pod string) {
	n.t.Helper()
	if err := os.RemoveAll(filepath.Join(n.dir, "data", pod)); err != nil {
		n.t.Fatal(err)
	}
}

// Where all volumes are lost nobody is left who knows that there was a cluster. With "existing" none begins.
func TestPodsThatHaveLostAllBeginNoOtherCluster(t *testing.T) {
	n, hosts := newPods(t, 1)
	pod := n.run(render(t, "{insecure: true, replicas: 1, cluster: new}"), 0)[0]
	n.balsa("", "put", "greeting", "hello", "--endpoints=http://"+hosts[0]+":23790", "--timeout=60s")
	if err := pod.end(); err != nil {
		t.Fatal(err)
	}
	n.empty("balsa-0")
	pod = n.run(render(t, "{insecure: true, replicas: 1, cluster: existing}"), 0)[0]
	for begin := time.Now(); !strings.Contains(pod.log.String(), "cannot join the cluster yet"); time.Sleep(50 * time.Millisecond) {
		if time.Since(begin) > time.Minute {
			t.Fatalf("it does not say that it waits: %s", pod.log.String())
		}
	}
	if _, err := os.Stat(filepath.Join(n.dir, "data", "balsa-0", "state")); !os.IsNotExist(err) {
		t.Errorf("it has a state: %v", err)
	}
}

func replaceAll(all []string, from, to string) []string {
	all = slices.Clone(all)
	for i := range all {
		all[i] = strings.ReplaceAll(all[i], from, to)
	}
	return all
}

func writeFiles(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
