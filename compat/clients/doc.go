// Package clients proves that clients in other languages than Go work with a real server, as users are told.
//
//	curl_test.go      every command of docs/curl.md prints what the page says
//	examples_test.go  the examples in Python and JavaScript, with etcd's published clients, print what they say
//	server_test.go    a server as a process
//
// What this machine has no tools for is skipped, and says so.
package clients
