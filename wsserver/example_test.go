package wsserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"gdtls/clientconn"
	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
	"gdtls/wsserver"
)

// A page's server: it has its own pages, a login, and a WebSocket for those who have
// logged in.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	keys, err := wsserver.NewKeys(wsserver.GenerateKey())
	if err != nil {
		log.Fatal(err)
	}
	bearer, err := wsserver.NewBearerAuthenticator(ctx, wsserver.BearerConfig{Keys: keys})
	if err != nil {
		log.Fatal(err)
	}
	accounts := new(wsserver.MemoryAccounts)
	if err := accounts.SetPassword("ada", "a long password"); err != nil {
		log.Fatal(err)
	}
	login := wsserver.NewLogin(bearer, wsserver.LoginConfig{Accounts: accounts})
	viewers := wsserver.NewWebSocketServer(bearer, wsserver.Config{})

	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", login.ServeLogin)
	mux.HandleFunc("POST /logout", login.ServeLogout)
	mux.Handle("GET /ws", viewers)
	server := wsserver.NewHTTPServer(mux, nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(wsserver.LimitListener(listener, wsserver.Limits{}))
	go func() {
		for {
			c, err := viewers.Accept(ctx)
			if err != nil {
				return
			}
			go greet(ctx, c)
		}
	}()

	// What follows is a client.
	address := listener.Addr().String()
	answer, err := http.Post("http://"+address+"/login", "application/json",
		strings.NewReader(`{"username": "ada", "password": "a long password"}`))
	if err != nil {
		log.Fatal(err)
	}
	var grant struct{ Token string }
	if err := json.NewDecoder(answer.Body).Decode(&grant); err != nil {
		log.Fatal(err)
	}
	answer.Body.Close()
	_, refused, _ := websocket.Dial(ctx, "ws://"+address+"/ws", nil)
	fmt.Println("without a token:", refused.Status)
	c, _, err := websocket.Dial(ctx, "ws://"+address+"/ws", &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer " + grant.Token}},
	})
	if err != nil {
		log.Fatal(err)
	}
	_, message, err := c.Read(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("with it: %s\n", message)
	if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
		log.Fatal(err)
	}

	http.DefaultClient.CloseIdleConnections()
	if err := viewers.Close(ctx); err != nil {
		log.Fatal(err)
	}
	if err := server.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// without a token: 401 Unauthorized
	// with it: hello, ada
}

// greet serves a viewer until it goes.
func greet(ctx context.Context, c *wsserver.Connection) {
	if c.Write(ctx, wsserver.TextMessage, []byte("hello, "+c.Identity().Name)) != nil {
		return
	}
	for {
		if _, _, err := c.Read(ctx); err != nil {
			return
		}
	}
}

// The login that opens a WebSocket opens a DTLS server, too: each token comes with a
// pre-shared key.
func ExampleBearerAuthenticator_PSK() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	keys, err := wsserver.NewKeys(wsserver.GenerateKey())
	if err != nil {
		log.Fatal(err)
	}
	bearer, err := wsserver.NewBearerAuthenticator(ctx, wsserver.BearerConfig{Keys: keys})
	if err != nil {
		log.Fatal(err)
	}

	server := serverconn.NewDtlsServer(nil)
	server.ConnectPskRequired(func(a *conn.PreSharedKeyAuthenticator) {
		// Without a key the peer is refused in its handshake.
		if key, _, err := bearer.PSK(a.Identity()); err == nil {
			a.SetPreSharedKey(key)
		}
	})
	arrived := make(chan struct{})
	server.ConnectEncrypted(func(c *serverconn.DtlsServerConnection) {
		defer close(arrived)
		// Only now it is certain who it is.
		if _, who, err := bearer.PSK(c.PskIdentity()); err == nil {
			fmt.Println("server:", who.Name, "is there")
		}
	})
	if err := server.Listen(ctx, "127.0.0.1:0"); err != nil {
		log.Fatal(err)
	}

	// What follows is a client, which has got the token from a login.
	token, err := bearer.Issue("ada", wsserver.MethodPassword, time.Hour)
	if err != nil {
		log.Fatal(err)
	}
	socket, err := net.Dial("udp", server.LocalAddress().String())
	if err != nil {
		log.Fatal(err)
	}
	base := datagram.New(socket.(*net.UDPConn))
	defer base.Close()
	client, err := clientconn.NewDtlsClientConnection(base, nil)
	if err != nil {
		log.Fatal(err)
	}
	client.ConnectPskRequired(func(_ *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
		a.SetIdentity([]byte(token.PSKIdentity))
		a.SetPreSharedKey(token.PSK)
	})
	if err := client.Handshake(ctx); err != nil {
		log.Fatal(err)
	}
	<-arrived
	if err := client.Close(ctx); err != nil {
		log.Fatal(err)
	}
	if err := server.Close(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: server: ada is there
}
