// Prints the addresses of its arguments by Go's own resolver.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
)

func main() {
	resolver := net.Resolver{PreferGo: true}
	failed := 0
	for _, name := range os.Args[1:] {
		addresses, err := resolver.LookupHost(context.Background(), name)
		if err != nil {
			failed = 1
		}
		for _, address := range addresses {
			fmt.Println(address)
		}
	}
	os.Exit(failed)
}
