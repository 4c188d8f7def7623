package lock_test

import (
	"context"
	"fmt"
	"log"

	"balsa.example/clerk"
	"balsa.example/clerk/clerktest"
	"balsa.example/clerk/lock"
)

func ExampleMutex() {
	service := clerktest.New(1)
	defer service.Close()
	ck, ctx := service.Clerk("example"), context.Background()

	m := lock.NewMutex(ck, "jobs/backup", lock.Value([]byte("host-7")))
	if err := m.Lock(ctx); err != nil {
		log.Fatal(err)
	}
	// The store itself sees to it that this is written by the owner of the lock.
	r, err := ck.Txn(ctx).If(m.Held()).Then(clerk.OpPut("jobs/backup/last", []byte("now"))).Commit()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("written:", r.Succeeded)
	fmt.Println("unlocked:", m.Unlock(ctx))
	// Output:
	// written: true
	// unlocked: <nil>
}
