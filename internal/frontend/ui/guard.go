package ui

import (
	"net/http"
	"strings"
)

// header is what the page sends with each request that is no plain GET. A page of another site cannot
// send it without asking first, and is not allowed to.
const header = "X-Balsa-Dashboard"

// policy lets the page use nothing but its own files and API. Scripts and styles within it are dead, and
// text that would become markup is an error of the script, where browsers know trusted types.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; manifest-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// shielded sets the headers of every answer.
func shielded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// ownPage refuses requests that a page of another site has made. Go's own check compares Sec-Fetch-Site
// and Origin; it lets through who sends neither, which is no browser. The header is for browsers that
// are too old for both. Against a page whose name was made to point here (DNS rebinding) it is of no use: to
// the browser that is of this site. So where something changes Config.Named looks at the name.
func ownPage(next http.Handler) http.Handler {
	var browsers http.CrossOriginProtection
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
			refuse(w, http.StatusForbidden, "another web page has made this request")
			return
		}
		if r.Method == http.MethodGet {
			next.ServeHTTP(w, r)
			return
		}
		content, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
		switch {
		case r.Method != http.MethodPost:
			w.Header().Set("Allow", "GET, POST")
			refuse(w, http.StatusMethodNotAllowed, "only GET and POST are answered here")
		case browsers.Check(r) != nil:
			refuse(w, http.StatusForbidden, "another web page has made this request")
		case r.Header.Get(header) == "" || strings.TrimSpace(content) != "application/json":
			refuse(w, http.StatusForbidden, "the request needs the header "+header+", and JSON")
		default:
			next.ServeHTTP(w, r)
		}
	})
}
