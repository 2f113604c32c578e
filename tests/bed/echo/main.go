// Small static program of the test bed.
//
//	echo serve   runs the services for tests and benchmarks
//	echo relay   relays connections from one socket to another, so that a namespace reaches servers of the host
//	echo pause   waits forever and reaps orphans: a pod's sandbox, and the first process of the node
package main

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		log.Fatal("usage: echo serve|relay|pause")
	}
	switch os.Args[1] {
	case "serve":
		serve(os.Args[2:])
	case "relay":
		if len(os.Args) != 4 {
			log.Fatal("usage: echo relay FROM TO, each tcp:HOST:PORT or unix:PATH")
		}
		relay(os.Args[2], os.Args[3])
	case "pause":
		pause()
	default:
		log.Fatalf("no command is called %q", os.Args[1])
	}
}

func pause() {
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGINT, syscall.SIGTERM)
	orphans := make(chan os.Signal, 1)
	signal.Notify(orphans, syscall.SIGCHLD)
	for {
		select {
		case <-ends:
			return
		case <-orphans:
			for {
				if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
					break
				}
			}
		}
	}
}

// Relays each connection in both directions, including each end's FIN.
func relay(from, to string) {
	network, address, _ := strings.Cut(from, ":")
	listener, err := net.Listen(network, address)
	if err != nil {
		log.Fatal(err)
	}
	network, address, _ = strings.Cut(to, ":")
	for {
		near, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			far, err := net.Dial(network, address)
			if err != nil {
				log.Print(err)
				near.Close()
				return
			}
			go passOn(near, far)
			passOn(far, near)
		}()
	}
}

func passOn(from, to net.Conn) {
	io.Copy(to, from)
	to.(interface{ CloseWrite() error }).CloseWrite()
}

func serve(args []string) {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	address := flags.String("address", "", "address to listen on; empty is every one")
	web := flags.String("http", "8080", "port of the web server")
	called := flags.String("name", "", "what it calls itself; empty is the host's name, which a pod's is")
	flags.Parse(args)
	name := *called
	if name == "" {
		host, err := os.Hostname()
		if err != nil {
			log.Fatal(err)
		}
		name = host
	}
	// Every answer to a web request names its pod.
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "hello from %s\n", name) })
	http.HandleFunc("/hostname", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, name) })
	// The client's address, as this end sees it.
	http.HandleFunc("/peer", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, r.RemoteAddr) })

	accept(*address, "7000", echo)
	accept(*address, "7001", count)
	accept(*address, "7002", pour)
	accept(*address, "7003", digest)
	echoDatagrams(*address, "7000")
	log.Fatal(http.ListenAndServe(net.JoinHostPort(*address, *web), nil))
}

func accept(address, port string, talk func(*net.TCPConn) error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(address, port))
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				log.Print(err)
				time.Sleep(100 * time.Millisecond) // out of descriptors: wait until some are closed
				continue
			}
			go func() {
				defer connection.Close()
				if err := talk(connection.(*net.TCPConn)); err != nil && !errors.Is(err, syscall.ECONNRESET) {
					log.Printf("port %s: %v", port, err)
				}
			}()
		}
	}()
}

// Echoes all bytes, then sends its own FIN. Hides the connection's type, because io.Copy would splice, which takes two more
// descriptors for each connection.
func echo(c *net.TCPConn) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{c}, make([]byte, 4<<10))
	return err
}

// Reads until FIN, then sends the number of bytes.
func count(c *net.TCPConn) error {
	n, err := swallow(c, io.Discard)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c, "%d\n", n)
	return err
}

// Sends until the client closes.
func pour(c *net.TCPConn) error {
	block := make([]byte, 256<<10)
	for i := range block {
		block[i] = byte(i)
	}
	for {
		if _, err := c.Write(block); err != nil {
			return nil
		}
	}
}

// Reads until FIN, then sends the SHA-256 of all bytes: the test of a half-closed connection.
func digest(c *net.TCPConn) error {
	sum := sha256.New()
	if _, err := swallow(c, sum); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c, "%x\n", sum.Sum(nil))
	return err
}

// A plain loop, because io.Copy would use 32 KiB or splice, and neither suits a benchmark.
func swallow(c *net.TCPConn, w io.Writer) (int64, error) {
	buffer := make([]byte, 256<<10)
	var total int64
	for {
		n, err := c.Read(buffer)
		total += int64(n)
		w.Write(buffer[:n])
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

func echoDatagrams(address, port string) {
	socket, err := net.ListenPacket("udp", net.JoinHostPort(address, port))
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		buffer := make([]byte, 64<<10)
		for {
			n, peer, err := socket.ReadFrom(buffer)
			if err != nil {
				log.Fatal(err)
			}
			if _, err := socket.WriteTo(buffer[:n], peer); err != nil {
				log.Print(err)
			}
		}
	}()
}
