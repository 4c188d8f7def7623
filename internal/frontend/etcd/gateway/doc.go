// Package gateway serves the etcd v3 API as JSON over HTTP, as etcd's gateway does it.
//
//	POST /v3/kv/range {"key":"Zm9v"} ──► paths ──► Method.Call, Method.Serve ──► {"header":{...},"kvs":[...]}
//
// There is no code for any single method. The paths are those that the published descriptors name
// (google.api.http), and the form is that of protobuf's JSON: names as in the definitions, 64-bit
// numbers as strings, bytes in base64, nothing for what is zero. A stream answers one line
// {"result":...} for each message. Errors are {"code":...,"message":...} with the HTTP status that
// belongs to the code; in a stream, a line {"error":{...}}.
//
// A token comes in the header Authorization. The certificate of a client's connection names nobody
// here.
package gateway
