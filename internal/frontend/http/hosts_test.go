package http

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestOnlyListedHostsAreAnsweredWithoutTLS(t *testing.T) {
	for _, test := range []struct {
		hosts  []string
		host   string
		secure bool
		want   int
	}{
		{nil, "evil.example", false, http.StatusOK},
		{[]string{"*"}, "evil.example", false, http.StatusOK},
		{[]string{"good.example"}, "evil.example", false, http.StatusMisdirectedRequest},
		{[]string{"good.example"}, "evil.example:2379", false, http.StatusMisdirectedRequest},
		{[]string{"good.example"}, "evil.example", true, http.StatusOK},
		{[]string{"good.example", "::1"}, "good.example:2379", false, http.StatusOK},
		{[]string{"good.example", "::1"}, "[::1]:2379", false, http.StatusOK},
		{[]string{"good.example", "::1"}, "[::1]", false, http.StatusOK},
		{[]string{"good.example"}, "", false, http.StatusMisdirectedRequest},
	} {
		h := Handler(Config{Hosts: test.hosts, Plain: func(*http.Request) bool { return !test.secure }})
		r := httptest.NewRequest("GET", "/version", nil)
		r.Host = test.host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != test.want {
			t.Errorf("%+v: %d", test, w.Code)
		}
	}
}
