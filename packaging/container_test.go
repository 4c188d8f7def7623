package main

import (
	"bytes"
	"crypto/rand"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// compose is what the file for compose says of servers. Its anchors are resolved.
type compose struct {
	Services map[string]struct {
		Command     []string          `json:"command"`
		Environment map[string]string `json:"environment"`
		Healthcheck struct {
			Test []string `json:"test"`
		} `json:"healthcheck"`
		Volumes []string `json:"volumes"`
		Secrets []string `json:"secrets"`
	} `json:"services"`
	Volumes map[string]any `json:"volumes"`
	Secrets map[string]struct {
		File string `json:"file"`
	} `json:"secrets"`
}

// The command that makes the secret makes one that the user of the containers can read, and that servers do not refuse.
func TestTheSecretOfTheComposedCluster(t *testing.T) {
	needs(t, "openssl")
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root gives a file to another user")
	}
	text, err := os.ReadFile("container/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`(?m)^#\t(.*openssl .*)$`).FindStringSubmatch(string(text))
	page, err := os.ReadFile("../docs/install.md")
	if err != nil || command == nil || !strings.Contains(string(page), "\n    "+command[1]+"\n") {
		t.Fatalf("docs/install.md has another command than %q, %v", command, err)
	}
	dir := t.TempDir()
	run(t, "sh", "-c", `umask 022 && cd "$0" && eval "$1"`, dir, command[1])
	if out := run(t, "find", dir, "-name", "cluster.secret", "-printf", "%U:%G %m\n"); out != "65532:65532 600\n" {
		t.Errorf("the secret is of %q", out)
	}
}

// The servers of the compose file, as it describes them, become a cluster whose probes succeed.
func TestTheComposedClusterServes(t *testing.T) {
	text, err := os.ReadFile("container/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var c compose
	if err := yaml.Unmarshal(text, &c); err != nil || len(c.Services) != 3 {
		t.Fatalf("%v in %+v", err, c)
	}
	n := newNetwork(t, slices.Sorted(maps.Keys(c.Services))...)
	secret := c.Secrets["cluster"].File
	writeFiles(t, n.dir, map[string][]byte{secret: []byte(rand.Text() + rand.Text())})
	start := time.Now()
	for name, s := range c.Services {
		if volume, where, _ := strings.Cut(s.Volumes[0], ":"); volume != name || where != "/data" {
			t.Errorf("%s: the volume %s", name, s.Volumes[0])
		} else if _, ok := c.Volumes[volume]; !ok {
			t.Errorf("%s: there is no volume %s", name, volume)
		}
		var env []string
		for key, value := range s.Environment {
			env = append(env, key+"="+strings.ReplaceAll(value, "/run/secrets/cluster", filepath.Join(n.dir, secret)))
		}
		if !slices.Equal(s.Secrets, []string{"cluster"}) || s.Environment["BALSA_CLUSTER_SECRET_FILE"] != "/run/secrets/cluster" {
			t.Errorf("%s: its peer port is open: %q, %q", name, s.Secrets, s.Environment)
		}
		n.serve(name, s.Command, env...)
	}
	n.balsa("", "put", "greeting", "hello", "--endpoints", "http://n1:23790", "--timeout", "60s")
	if out := n.balsa("", "get", "greeting", "--endpoints", "http://n2:23790"); out != "hello\n" {
		t.Errorf("get prints %q", out)
	}
	t.Logf("%.2f s from three containers to the first key read back", time.Since(start).Seconds())
	for name, s := range c.Services {
		probe := s.Healthcheck.Test
		if !slices.Equal(probe[:2], []string{"CMD", "/usr/bin/balsa"}) {
			t.Fatalf("%s: the probe is %q", name, probe)
		}
		n.await(name, append(probe[2:], "--endpoints", n.addresses[name]+":23790")...)
	}
}

func TestTheImageNamesFlagsThatExist(t *testing.T) {
	text, err := os.ReadFile("container/Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`(?m)^CMD (\[.*\])$`).FindSubmatch(text)
	var args []string
	if err := yaml.Unmarshal(command[1], &args); err != nil {
		t.Fatal(err)
	}
	balsaTakes(t, unpack(t, one(t, "*.tar.gz"), t.TempDir()), args...)
	if strings.Contains(string(text), "USER root") || !regexp.MustCompile(`(?m)^USER 65532:65532$`).Match(text) {
		t.Error("the image does not say that it is not root's")
	}
}

// The image is built without a registry, and a container of it serves as nobody special.
func TestTheImageIsBuiltAndServes(t *testing.T) {
	needs(t, "buildah")
	isolated(t)
	start, dir := time.Now(), t.TempDir()
	buildah := func(args ...string) *exec.Cmd {
		return exec.Command("buildah", append([]string{"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"), "--storage-driver", "vfs"}, args...)...)
	}
	if out, err := buildah("build", "--isolation", "chroot", "-t", "balsa", "-f", "Containerfile", filepath.Join(dist(t), "container")).CombinedOutput(); err != nil {
		t.Fatalf("buildah build: %v: %s", err, out)
	}
	from, err := buildah("from", "--pull-never", "localhost/balsa").Output()
	if err != nil {
		t.Fatal(err)
	}
	container := strings.TrimSpace(string(from))
	client, peer := address(t), address(t)
	server := buildah("run", "--isolation", "chroot", container, "--", "/usr/bin/balsa",
		"serve", "--data-dir", "/data/default", "--listen-client-urls", "http://"+client, "--listen-peer-urls", "http://"+peer)
	var log bytes.Buffer
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		server.Process.Signal(os.Interrupt)
		server.Wait()
	}()
	balsa := unpack(t, one(t, "*.tar.gz"), t.TempDir()) // this isolation has the network of the machine
	for _, args := range [][]string{{"put", "greeting", "hello", "--timeout", "60s"}, {"get", "greeting"}, {"health"}} {
		if out, err := exec.Command(balsa, append(args, "--endpoints", client)...).CombinedOutput(); err != nil {
			t.Fatalf("balsa %q: %v: %s\n%s", args, err, out, log.String())
		}
	}
	t.Logf("%.2f s from the folder of a release to the first key read back", time.Since(start).Seconds())
	if out := run(t, "find", dir, "-name", "MEMBERS", "-printf", "%U:%G\n"); out != "65532:65532\n" {
		t.Errorf("data belongs to %q", out)
	}
}
