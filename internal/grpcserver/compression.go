package grpcserver

import (
	"bytes"
	"compress/gzip"
	"io"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Clients may compress messages by gzip. Responses are not compressed, which is the server's choice.
const (
	identity = "identity" // no encoding
	gzipped  = "gzip"
)

// maxDecompressing bounds the messages that are decompressed at the same time. A few bytes may become a
// message as large as there may be, for which there is no room yet: who bounds requests sees it then.
const maxDecompressing = 4

// gzipReaders are used again, since each has a window of its own.
var gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}

// decompress returns a message of at most that many bytes, or errors with the texts of grpc-go.
func decompress(data []byte, most int) ([]byte, error) {
	r := gzipReaders.Get().(*gzip.Reader)
	defer gzipReaders.Put(r)
	if err := r.Reset(bytes.NewReader(data)); err != nil {
		return nil, status.Errorf(codes.Internal, "grpc: failed to decompress the message: %v", err)
	}
	message, err := io.ReadAll(io.LimitReader(r, int64(most)+1))
	switch {
	case err != nil:
		return nil, status.Errorf(codes.Internal, "grpc: failed to read decompressed data: %v", err)
	case len(message) > most:
		return nil, status.Errorf(codes.ResourceExhausted, "grpc: received message after decompression larger than max %d", most)
	}
	return message, nil
}

func errEncoding(encoding string) error {
	return status.Errorf(codes.Unimplemented, "grpc: Decompressor is not installed for grpc-encoding %q", encoding)
}
