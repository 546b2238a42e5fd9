package bench

import (
	"fmt"
	"net"

	"gdtls/datagram"
)

var loopback = &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}

// socketPair gives two UDP sockets that are connected with each other over
// loopback.
func socketPair() (client, server *net.UDPConn, err error) {
	// A socket that is connected from the start needs to know the other's port,
	// which only a socket that has it can tell. Somebody may take the port in
	// between.
	for range 10 {
		var scout *net.UDPConn
		if scout, err = net.ListenUDP("udp4", loopback); err != nil {
			break
		}
		port := scout.LocalAddr().(*net.UDPAddr)
		client, err = net.DialUDP("udp4", nil, port)
		scout.Close()
		if err != nil {
			break
		}
		if server, err = net.DialUDP("udp4", port, client.LocalAddr().(*net.UDPAddr)); err == nil {
			return client, server, nil
		}
		client.Close()
	}
	return nil, nil, fmt.Errorf("cannot open a pair of sockets: %w", err)
}

// socketPairs gives n pairs, or closes them all.
func socketPairs(n int) (pairs [][2]*net.UDPConn, err error) {
	for range n {
		client, server, err := socketPair()
		if err != nil {
			closeAll(pairs)
			return nil, err
		}
		pairs = append(pairs, [2]*net.UDPConn{client, server})
	}
	return pairs, nil
}

func closeAll(pairs [][2]*net.UDPConn) {
	for _, pair := range pairs {
		pair[0].Close()
		pair[1].Close()
	}
}

// enlarge gives the socket the large buffers that those of gdtls have.
func enlarge(socket *net.UDPConn) *net.UDPConn {
	datagram.New(socket, datagram.Without(^datagram.LargeBuffers))
	return socket
}
