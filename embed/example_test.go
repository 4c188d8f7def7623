package embed_test

import (
	"context"
	"fmt"
	"os"

	"balsa.example/embed"
)

// A cluster of one, in this process.
func Example() {
	dir, err := os.MkdirTemp("", "balsa")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	s, err := embed.Start(embed.Config{Dir: dir})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Stop(context.Background())
	ck, err := s.Clerk()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ck.Close()
	ck.Put(context.Background(), "greeting", []byte("hello"), 0)
	kv, err := ck.Get(context.Background(), "greeting")
	fmt.Println(string(kv.Value), kv.Version, err)
	// Output:
	// hello 1 <nil>
}
