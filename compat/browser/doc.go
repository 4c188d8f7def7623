// Package browser has the tests of the dashboard in a real browser: Chromium without a window, of Debian's
// package chromium, against servers that run as processes. They make the pictures of the manual, too:
//
//	go test ./...                                             every page, every action
//	go test -run TestPictures -timeout 20m -pictures ../../docs/pictures
//
// It is a module of its own, so that nobody else needs its dependencies. Package rig of the module around
// starts the servers. Without a browser its tests are skipped.
package browser
