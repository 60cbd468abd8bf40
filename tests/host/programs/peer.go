// Greets whoever asks on port 8081, and asks everybody it was told of until each has answered; prints each answer once.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

func main() {
	name, _ := os.Hostname()
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "hello from %s", name) })
	var said sync.Mutex
	for _, target := range os.Args[1:] {
		go func(target string) {
			client := http.Client{Timeout: 3 * time.Second}
			for {
				answer, err := client.Get("http://" + target + "/")
				if err != nil {
					time.Sleep(200 * time.Millisecond)
					continue
				}
				body, _ := io.ReadAll(answer.Body)
				answer.Body.Close()
				said.Lock()
				fmt.Printf("%s: %s\n", target, strings.TrimSpace(string(body)))
				said.Unlock()
				return
			}
		}(target)
	}
	fmt.Println(http.ListenAndServe(":8081", nil))
}
