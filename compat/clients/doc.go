// Package clients proves that what users are told to type works with a real server, and so do clients in other languages than Go.
//
//	curl_test.go      every command of docs/curl.md prints what the page says
//	lessons_test.go   the commands of the first pages of the manual, of backup and of recovery, typed one after the other, print what the pages say
//	examples_test.go  the examples in Python and JavaScript, with etcd's published clients, print what they say
//	server_test.go    a server as a process
//
// What this machine has no tools for is skipped, and says so.
package clients
