// A small service in Go, sound but for what PLANTED names.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

var (
	planted = os.Getenv("PLANTED")
	guard   sync.Mutex
	kept    [][]byte
	opened  []*os.File
)

func spoil() {
	guard.Lock()
	defer guard.Unlock()
	switch planted {
	case "grows-in-memory":
		block := make([]byte, 400000)
		for k := range block {
			block[k] = 'x'
		}
		kept = append(kept, block)
	case "leaks-file-descriptors":
		if file, err := os.Open("/dev/null"); err == nil {
			opened = append(opened, file)
		}
	}
}

func main() {
	http.HandleFunc("/health", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "{}") })
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		spoil()
		if planted == "drops-requests-on-stop" {
			time.Sleep(60 * time.Millisecond)
		}
		fmt.Printf("{\"time\": %d, \"path\": %q}\n", time.Now().UnixNano(), r.URL.Path)
		fmt.Fprint(w, "{}")
	})
	address := ":8080"
	if planted == "binds-localhost" {
		address = "127.0.0.1:8080"
	}
	server := &http.Server{Addr: address}
	asked := make(chan os.Signal, 1)
	if planted == "ignores-sigterm" {
		signal.Ignore(syscall.SIGTERM)
	} else {
		signal.Notify(asked, syscall.SIGTERM)
	}
	go func() {
		if err := server.ListenAndServe(); err != http.ErrServerClosed {
			panic(err)
		}
	}()
	<-asked
	if planted == "drops-requests-on-stop" {
		os.Exit(0)
	}
	time.Sleep(2 * time.Second)
	server.SetKeepAlivesEnabled(false)
	server.Shutdown(context.Background())
}
