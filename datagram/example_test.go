package datagram_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"time"

	"gdtls/datagram"
)

// Two UDP sockets: a message of two buffers is sent as one datagram.
func ExampleSocket() {
	ctx := context.Background()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := datagram.New(conn)
	defer server.Close()
	conn, err = net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	client := datagram.New(conn)
	defer client.Close()

	_, err = client.SendMessages(ctx, []datagram.OutputMessage{{
		Address: server.LocalAddress(),
		Vectors: [][]byte{[]byte("hello, "), []byte("server")},
	}}, datagram.MsgNone, time.Second)
	if err != nil {
		log.Fatal(err)
	}

	messages := make([]datagram.InputMessage, 8)
	for i := range messages {
		messages[i].Vectors = [][]byte{make([]byte, 2048)}
	}
	n, err := server.ReceiveMessages(ctx, messages, datagram.MsgWaitForOne, time.Second)
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range messages[:n] {
		fmt.Printf("%s\n", m.Vectors[0][:m.BytesReceived])
		fmt.Println(m.Address == client.LocalAddress())
	}
	// Output:
	// hello, server
	// true
}

// Two ends in memory.
func ExampleNewPipe() {
	ctx := context.Background()
	a, b := datagram.NewPipe()
	buf := make([]byte, 100)

	_, _, err := datagram.ReceiveOne(ctx, b, buf, 0)
	fmt.Println(errors.Is(err, datagram.ErrWouldBlock))

	if err := datagram.SendOne(ctx, a, []byte("hello"), datagram.Address{}, -1); err != nil {
		log.Fatal(err)
	}
	a.Close()
	n, _, err := datagram.ReceiveOne(ctx, b, buf, -1)
	fmt.Printf("%s %v\n", buf[:n], err)
	_, _, err = datagram.ReceiveOne(ctx, b, buf, -1)
	fmt.Println(err)
	// Output:
	// true
	// hello <nil>
	// EOF
}

// A network that drops the second datagram and doubles the third.
func ExampleNewImpaired() {
	ctx := context.Background()
	a, b := datagram.NewPipe()
	lossy := datagram.NewImpaired(a, datagram.Impairment{
		Seed: 1,
		Send: datagram.Profile{Filter: func(index int, _ []byte) datagram.Verdict {
			switch index {
			case 1:
				return datagram.VerdictDrop
			case 2:
				return datagram.VerdictDuplicate
			}
			return datagram.VerdictChance
		}},
	})
	for _, text := range []string{"one", "two", "three"} {
		if err := datagram.SendOne(ctx, lossy, []byte(text), datagram.Address{}, -1); err != nil {
			log.Fatal(err)
		}
	}
	lossy.Close()
	buf := make([]byte, 100)
	for {
		n, _, err := datagram.ReceiveOne(ctx, b, buf, -1)
		if err != nil {
			break
		}
		fmt.Printf("%s\n", buf[:n])
	}
	fmt.Println(lossy.Stats().Send.Dropped, lossy.Stats().Send.Duplicated)
	// Output:
	// one
	// three
	// three
	// 1 1
}

// A source calls back when a message is there.
func ExampleSource() {
	a, b := datagram.NewPipe()
	defer a.Close()
	defer b.Close()
	done := make(chan struct{})
	b.CreateSource(context.Background(), datagram.In).Attach(
		func(obj datagram.DatagramBased, condition datagram.IOCondition) bool {
			buf := make([]byte, 100)
			n, _, err := datagram.ReceiveOne(context.Background(), obj, buf, 0)
			if errors.Is(err, datagram.ErrWouldBlock) {
				return datagram.SourceContinue
			}
			fmt.Println(condition, string(buf[:n]))
			close(done)
			return datagram.SourceRemove
		})
	if err := datagram.SendOne(context.Background(), a, []byte("hello"), datagram.Address{}, -1); err != nil {
		log.Fatal(err)
	}
	<-done
	// Output: IN hello
}
