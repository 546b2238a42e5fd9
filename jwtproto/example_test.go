package jwtproto_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"

	"gdtls/datagram"
	"gdtls/jwtproto"
)

// A lab for one group, a server on a UDP socket, and a walk through the states.
func Example() {
	dir, err := os.MkdirTemp("", "lab-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	group := jwtproto.NewGroup{Name: "OWLS", Members: []int64{20230001}}
	if err := jwtproto.CreateLab(dir, []jwtproto.NewGroup{group}); err != nil {
		log.Fatal(err)
	}
	lab, _, err := jwtproto.OpenLab(dir)
	if err != nil {
		log.Fatal(err)
	}
	server, err := jwtproto.NewServer(jwtproto.Config{Lab: lab})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	base := datagram.New(packets)
	defer base.Close()
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- server.Serve(ctx, base, jwtproto.UDP) }()

	data, err := os.ReadFile(filepath.Join(dir, jwtproto.ClientsFolder, "owls.pem"))
	if err != nil {
		log.Fatal(err)
	}
	key, err := jwtproto.ParsePrivateKey(data)
	if err != nil {
		log.Fatal(err)
	}
	socket, err := net.Dial("udp", base.LocalAddress().String())
	if err != nil {
		log.Fatal(err)
	}
	over := datagram.New(socket.(*net.UDPConn))
	defer over.Close()
	client := jwtproto.Client{
		Group: "OWLS", Registration: 20230001, Members: 1, Key: key, Secret: lab.Secret(),
		Observe: func(a jwtproto.Acknowledged) { fmt.Println(jwtproto.Colour(a.Number), "next", a.Next) },
	}
	if err := client.Walk(ctx, over); err != nil {
		log.Fatal(err)
	}
	stop()
	fmt.Println(<-served)
	// Output:
	// RED next 1
	// ORANGE next 2
	// YELLOW next 3
	// GREEN next 4
	// BLUE next 5
	// INDIGO next 6
	// VIOLET next 0
	// <nil>
}
