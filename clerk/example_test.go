package clerk_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"balsa.example/clerk"
	"balsa.example/clerk/clerktest"
)

// In a program, New takes the addresses of some servers:
//
//	ck, err := clerk.New([]string{"10.0.0.1:23790", "10.0.0.2:23790", "10.0.0.3:23790"})
func Example() {
	service := clerktest.New(1) // stands for a cluster
	defer service.Close()
	ck := service.Clerk("example")
	defer ck.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()

	kv, err := ck.Put(ctx, "greeting", []byte("hello"), 0) // 0: create it
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s at version %d\n", kv.Value, kv.Version)

	kv, err = ck.Put(ctx, "greeting", []byte("bonjour"), kv.Version)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s at version %d\n", kv.Value, kv.Version)

	_, err = ck.Put(ctx, "greeting", []byte("hola"), 1)
	var refused *clerk.VersionError
	fmt.Println(errors.Is(err, clerk.ErrVersion), errors.As(err, &refused), err)

	// Output:
	// hello at version 1
	// bonjour at version 2
	// true true put "greeting": version does not match: key is at 2, not 1
}

// What the errors of a conditional write say.
func ExampleNew() {
	ctx := context.Background()
	ck, err := clerk.New([]string{"127.0.0.1:23790", "127.0.0.1:23791", "127.0.0.1:23792"})
	if err != nil {
		log.Fatal(err)
	}
	defer ck.Close()

	kv, err := ck.Get(ctx, "greeting")
	if err != nil {
		log.Fatal(err)
	}
	kv, err = ck.Put(ctx, "greeting", []byte("salut"), kv.Version) // only if it is as we read it
	switch {
	case err == nil:
		fmt.Println("done, now at version", kv.Version)
	case errors.Is(err, clerk.ErrVersion):
		fmt.Println("another client was faster; nothing changed")
	case errors.Is(err, clerk.ErrMaybe):
		fmt.Println("it may have happened: nobody can know better")
	}
}

// A counter that any number of clients may add to. After ErrMaybe it is not known
// whether the addition took effect; only the program can say if that matters.
func ExampleClerk_Put() {
	service := clerktest.New(1)
	defer service.Close()
	ck := service.Clerk("example")
	defer ck.Close()

	add := func(ctx context.Context, key string) error {
		for {
			kv, err := ck.Get(ctx, key)
			if err != nil && !errors.Is(err, clerk.ErrNoKey) {
				return err
			}
			_, err = ck.Put(ctx, key, append(kv.Value, '|'), kv.Version)
			if !errors.Is(err, clerk.ErrVersion) {
				return err
			}
		}
	}
	for range 3 {
		if err := add(context.Background(), "tally"); err != nil {
			log.Fatal(err)
		}
	}
	kv, _ := ck.Get(context.Background(), "tally")
	fmt.Printf("%s\n", kv.Value)
	// Output: |||
}

// What is read and written belongs together: nobody else changes it in between.
func ExampleClerk_Update() {
	service := clerktest.New(1)
	defer service.Close()
	ck, ctx := service.Clerk("example"), context.Background()

	transfer := func(from, to string) error {
		return ck.Update(ctx, func(tx *clerk.Tx) error {
			kv, err := tx.Get(from)
			if err != nil {
				return err
			}
			tx.Delete(from)
			tx.Put(to, kv.Value)
			return nil
		})
	}
	if _, err := ck.Set(ctx, "desk/1", []byte("Ada")); err != nil {
		log.Fatal(err)
	}
	fmt.Println(transfer("desk/1", "desk/2"))
	fmt.Println(errors.Is(transfer("desk/1", "desk/3"), clerk.ErrNoKey))
	for kv, err := range ck.Range(ctx, clerk.Prefix("desk/")) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %s\n", kv.Key, kv.Value)
	}
	// Output:
	// <nil>
	// true
	// desk/2: Ada
}

// A transaction compares, and does one thing or another, all in one revision.
func ExampleClerk_Txn() {
	service := clerktest.New(1)
	defer service.Close()
	ck, ctx := service.Clerk("example"), context.Background()

	claim := func(who string) *clerk.TxnResult {
		result, err := ck.Txn(ctx).
			If(clerk.Missing("owner")).
			Then(clerk.OpPut("owner", []byte(who)), clerk.OpPut("since/"+who, nil)).
			Else(clerk.OpGet("owner")).
			Commit()
		if err != nil {
			log.Fatal(err)
		}
		return result
	}
	fmt.Println(claim("Ada").Succeeded)
	second := claim("Bob")
	fmt.Printf("%v, it is %s's\n", second.Succeeded, second.Results[0].KVs[0].Value)
	// Output:
	// true
	// false, it is Ada's
}

// Keys that hang on a lease go when their owner does.
func ExampleClerk_Grant() {
	service := clerktest.New(1)
	defer service.Close()
	worker, ctx := service.Clerk("worker"), context.Background()

	lease, err := worker.Grant(ctx, 10*time.Second) // kept alive until Revoke or Close
	if err != nil {
		log.Fatal(err)
	}
	if _, err = worker.Set(ctx, "workers/7", []byte("10.0.0.7"), clerk.WithLease(lease.ID())); err != nil {
		log.Fatal(err)
	}
	watcher := service.Clerk("watcher")
	fmt.Println(watcher.Count(ctx, clerk.Prefix("workers/")))
	fmt.Println(lease.Revoke(ctx))
	fmt.Println(watcher.Count(ctx, clerk.Prefix("workers/")))
	// Output:
	// 1 <nil>
	// <nil>
	// 0 <nil>
}
