// Command bank is a replicated bank. Run "bank n1", "bank n2" and "bank n3", each in a
// terminal, and type "FROM TO AMOUNT" into any of them; money comes from "mint".
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"

	"balsa.example"
)

type transfer struct {
	From, To string
	Amount   uint64
}

// bank is the state machine: how much each account holds.
type bank map[string]uint64

func (b bank) DoOp(t transfer) string {
	if t.From != "mint" && b[t.From] < t.Amount {
		return fmt.Sprintf("refused: %s has %d", t.From, b[t.From])
	}
	if t.From != "mint" {
		b[t.From] -= t.Amount
	}
	b[t.To] += t.Amount
	return fmt.Sprintf("%s has %d, %s has %d", t.From, b[t.From], t.To, b[t.To])
}
func (b bank) Snapshot() (io.WriterTo, error) {
	image, err := json.Marshal(b)
	return bytes.NewBuffer(image), err
}
func (b bank) Restore(r io.Reader) error { clear(b); return json.NewDecoder(r).Decode(&b) }

func main() {
	name := os.Args[len(os.Args)-1]
	node, err := balsa.Start(balsa.Config[transfer, string]{
		Name: name, Dir: name + ".bank", Machine: bank{}, Codec: balsa.JSON[transfer]{}, Logger: slog.Default(),
		Members: map[string]string{"n1": "127.0.0.1:7401", "n2": "127.0.0.1:7402", "n3": "127.0.0.1:7403"},
		// SecretFile: "secret", // a random text that all share: TLS, and nobody else gets in
	})
	if err != nil {
		log.Fatal(err)
	}
	go func() { <-node.Failed(); log.Fatal(node.Err()) }()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var t transfer
		fmt.Sscan(lines.Text(), &t.From, &t.To, &t.Amount)
		fmt.Println(node.Submit(context.Background(), t))
	}
	node.Stop()
}
