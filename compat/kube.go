package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

const (
	// kubeStartTimeout is how long an apiserver may take until it is ready.
	kubeStartTimeout = 3 * time.Minute
	// kubeCompaction is how often it compacts: each time up to where it was the time before.
	kubeCompaction = 20 * time.Second
	// kubeEventTTL is how long an event of Kubernetes is kept.
	kubeEventTTL = 10 * time.Second
	kubeToken    = "compat-token"
)

// apiserver is a kube-apiserver on the servers of a cluster.
type apiserver struct {
	server
	dir     string
	kubectl string
	client  *http.Client
}

// startAPIServer starts an apiserver that believes whoever knows a token.
func startAPIServer(ctx context.Context, c *cluster, p programs) (guest, error) {
	dir := filepath.Join(c.dir, "kube")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	port, err := c.ports(1)
	if err != nil {
		return nil, err
	}
	key, tokens := filepath.Join(dir, "sa.key"), filepath.Join(dir, "tokens.csv")
	if err := writeKey(key); err != nil {
		return nil, err
	}
	if err := os.WriteFile(tokens, []byte(kubeToken+",compat,1,system:masters\n"), 0o600); err != nil {
		return nil, err
	}
	var servers []string
	for _, s := range c.servers {
		servers = append(servers, "http://"+s.endpoint)
	}
	k := &apiserver{dir: dir, kubectl: p.kubectl}
	k.server = server{name: "kube-apiserver", program: p.apiserver, log: filepath.Join(dir, "log"), endpoint: loopback(port)}
	k.args = []string{
		"--etcd-servers=" + strings.Join(servers, ","), "--etcd-compaction-interval=" + kubeCompaction.String(), "--event-ttl=" + kubeEventTTL.String(),
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port), "--cert-dir=" + dir, "--token-auth-file=" + tokens,
		"--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount", "--service-cluster-ip-range=10.96.0.0/24",
		"--service-account-issuer=https://compat.invalid", "--service-account-key-file=" + key, "--service-account-signing-key-file=" + key,
		"--advertise-address=192.0.2.1", // to be written down, never called
	}
	// Its certificate is of its own making.
	k.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 32}}
	if err := k.start(); err != nil {
		return nil, err
	}
	if err := k.awaitReady(ctx); err != nil {
		k.stop(syscall.SIGKILL)
		return nil, err
	}
	return k, nil
}

func (k *apiserver) end() { k.stop(syscall.SIGKILL) }

// apiserver is the one that runs.
func (t *T) apiserver() *apiserver { return t.cluster.guest.(*apiserver) }

func writeKey(path string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}), 0o600)
}

func (k *apiserver) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, kubeStartTimeout)
	defer cancel()
	for {
		code, body, err := k.do(ctx, "GET", "/readyz", "")
		if err == nil && code == http.StatusOK {
			return nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case err := <-k.ended:
			return fmt.Errorf("kube-apiserver ended: %v: see %s", err, k.log)
		case <-ctx.Done():
			return fmt.Errorf("kube-apiserver is not ready: %v %s", err, body)
		}
	}
}

// object asks for what it returns, with the code.
func (k *apiserver) object(ctx context.Context, method, path, body string) (o kubeObject, code int, err error) {
	code, text, err := k.do(ctx, method, path, body)
	if err != nil {
		return o, 0, err
	}
	return o, code, json.Unmarshal([]byte(text), &o)
}

// do asks the apiserver.
func (k *apiserver) do(ctx context.Context, method, path, body string) (code int, text string, err error) {
	resp, err := k.open(ctx, method, path, body)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data), err
}

func (k *apiserver) open(ctx context.Context, method, path, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "https://"+k.endpoint+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+kubeToken)
	req.Header.Set("Content-Type", "application/json")
	return k.client.Do(req)
}

// kubeObject is what the checks read of an object, a list, an event of a watch, or a status.
type kubeObject struct {
	Kind     string `json:"kind,omitempty"`
	Metadata struct {
		Name               string `json:"name,omitempty"`
		Namespace          string `json:"namespace,omitempty"`
		ResourceVersion    string `json:"resourceVersion,omitempty"`
		Continue           string `json:"continue,omitempty"`
		RemainingItemCount int64  `json:"remainingItemCount,omitempty"`
	} `json:"metadata"`
	Data   map[string]string `json:"data,omitempty"`
	Items  []kubeObject      `json:"items,omitempty"`
	Reason string            `json:"reason,omitempty"`
	Code   int               `json:"code,omitempty"`
}

// api asks the apiserver, and returns what it has said and the code.
func (t *T) api(method, path, body string) (o kubeObject, code int) {
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	o, code, err := t.apiserver().object(ctx, method, path, body)
	if err != nil {
		t.say(method+" "+path, "%v", err)
	}
	return o, code
}

// kubeEvent is one event of a watch.
type kubeEvent struct {
	Type   string
	Object kubeObject
}

// kubeWatch reads the events of a watch until each has said to stop, or the watch ends.
func (t *T) kubeWatch(ctx context.Context, path string, each func(kubeEvent) (goOn bool)) error {
	resp, err := t.apiserver().open(ctx, "GET", path, "")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", resp.Status)
	}
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var e kubeEvent
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		if !each(e) {
			return nil
		}
	}
}

var (
	kubeAge     = regexp.MustCompile(`\b\d+(s|m|m\d+s)\b`)
	kubeVersion = regexp.MustCompile(`("?resourceVersion"?: ?)"\d+"`)
)

// kubectl runs kubectl, and notes what it prints.
func (t *T) kubectl(stdin string, args ...string) {
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	k := t.apiserver()
	all := append([]string{"--server=https://" + k.endpoint, "--token=" + kubeToken, "--insecure-skip-tls-verify", "--cache-dir=" + filepath.Join(k.dir, "cache")}, args...)
	cmd := exec.CommandContext(ctx, k.kubectl, all...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+os.DevNull, "HOME="+k.dir)
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	said := kubeVersion.ReplaceAllString(kubeAge.ReplaceAllString(out.String(), "AGE"), `$1"*"`)
	if err != nil {
		said += " " + err.Error()
	}
	if lines := strings.Split(strings.TrimSpace(said), "\n"); len(lines) > 40 {
		said = fmt.Sprintf("%s and so on to %s, %d lines", lines[0], lines[len(lines)-1], len(lines))
	}
	t.say("kubectl "+strings.Join(args, " "), "%s", address.ReplaceAllString(said, "HOST"))
}
