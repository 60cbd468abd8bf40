// Greets whoever asks on port 8081, and asks everybody it was told of once a second for as long as it lives: a line for each question.
// A target is HOST:PORT/PATH, with "tcp6+" before it to be asked over IPv6 alone. Each is looked up anew each time.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	name, _ := os.Hostname()
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "hello from %s", name) })
	for _, target := range os.Args[1:] {
		go ask(target)
	}
	fmt.Println(http.ListenAndServe(":8081", nil))
}

func ask(target string) {
	network, place, found := strings.Cut(target, "+")
	if !found {
		network, place = "tcp", target
	}
	dial := func(ctx context.Context, _, address string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	for ; ; time.Sleep(time.Second) {
		fmt.Printf("%s: %s\n", target, answer(client, place))
	}
}

func answer(client http.Client, place string) string {
	answer, err := client.Get("http://" + place)
	if err != nil {
		return "lost: " + err.Error()
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	return strings.TrimSpace(string(body))
}
