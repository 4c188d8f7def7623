package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"balsa.example/api"
)

func TestClientURLs(t *testing.T) {
	for raw, want := range map[string]string{
		"http://h:1,unix:///run/a.sock":      "http://h:1 unix:///run/a.sock",
		"unixs://a.sock":                     "unixs://a.sock",
		"unix://localhost:2379":              "unix://localhost:2379",
		"unix://dir/a.sock":                  "unix://dir/a.sock",
		"unix://":                            "names no file",
		"unix:///run/":                       "names no file",
		"unix://" + strings.Repeat("a", 104): "a path of 104 bytes",
		"http://h":                           "must have a host and a port",
		"ftp://h:1":                          "must begin with",
	} {
		urls, err := ParseClientURLs(raw)
		got := strings.Join(strings.Fields(strings.ReplaceAll(urlList(urls), ",", " ")), " ")
		if err != nil {
			got = err.Error()
		}
		if err == nil && got != want || err != nil && (!strings.Contains(got, want) || !errors.Is(err, ErrConfig)) {
			t.Errorf("%s: %s", raw, got)
		}
	}
}

// A server listens on several addresses, sockets of the file system among them.
func TestSocketsServeClients(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 1})
	dir, err := os.MkdirTemp("", "b") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "balsa.sock")
	abandoned, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	abandoned.SetUnlinkOnClose(false)
	abandoned.Close() // as if the process had been killed
	socket, err := listenOn(&url.URL{Scheme: "unix", Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listenOn(&url.URL{Scheme: "unix", Path: path}); err == nil {
		t.Error("a socket on which a server listens was taken from it")
	}
	c.configs[0].ClientListeners = append(c.configs[0].ClientListeners, socket)
	c.startAll()
	c.put("a", "1", 0) // by the other address

	conn, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(api.Codec())))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	status, err := api.NewKVClient(conn).Status(t.Context(), &api.StatusRequest{})
	if err != nil || status.Revision != 2 {
		t.Errorf("by the socket: %v, %v", status, err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", path)
	}}}
	r, err := client.Get("http://any/version")
	if err != nil || r.StatusCode != http.StatusOK {
		t.Errorf("HTTP by the socket: %v, %v", r, err)
	}
	c.stop(0)
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

// What is no abandoned socket is not removed.
func TestFilesAreNotTakenForSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenOn(&url.URL{Scheme: "unix", Path: path}); err == nil {
		t.Error("it listens")
	}
	if _, err := os.ReadFile(path); err != nil {
		t.Error(err)
	}
}
