// A ttrpc peer built on github.com/containerd/ttrpc, for the interop tests in ../../ttrpc.test.ts.
//
//	peer serve SOCKET   serves interop.Peer until killed
//	peer call SOCKET    reads one JSON command a line from standard input, prints one JSON outcome a line
//
// ../README.md describes the methods and the commands; the Rust peer behaves the same.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const service = "interop.Peer"

// textLimit is the longest answer that an outcome shows as text.
const textLimit = 1000

var cancelled atomic.Int64

func main() {
	if len(os.Args) != 3 {
		fail(errors.New("usage: peer serve|call SOCKET"))
	}
	var err error
	switch os.Args[1] {
	case "serve":
		err = serve(os.Args[2])
	case "call":
		err = call(os.Args[2])
	default:
		err = fmt.Errorf("unknown mode %q", os.Args[1])
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "peer:", err)
	os.Exit(1)
}

type handler func(ctx context.Context, value []byte) ([]byte, error)

func method(run handler) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
		var request wrapperspb.BytesValue
		if err := unmarshal(&request); err != nil {
			return nil, err
		}
		answer, err := run(ctx, request.Value)
		if err != nil {
			return nil, err
		}
		return wrapperspb.Bytes(answer), nil
	}
}

func serve(socket string) error {
	server, err := ttrpc.NewServer()
	if err != nil {
		return err
	}
	server.RegisterService(service, &ttrpc.ServiceDesc{Methods: map[string]ttrpc.Method{
		"Echo":      method(func(_ context.Context, value []byte) ([]byte, error) { return value, nil }),
		"Size":      method(size),
		"Metadata":  method(metadata),
		"Remaining": method(remaining),
		"Fail":      method(failWith),
		"Plain":     method(func(_ context.Context, value []byte) ([]byte, error) { return nil, errors.New(string(value)) }),
		"Wait":      method(wait),
		"Cancelled": method(func(context.Context, []byte) ([]byte, error) {
			return []byte(strconv.FormatInt(cancelled.Load(), 10)), nil
		}),
	}})
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	fmt.Println("listening")
	return server.Serve(context.Background(), listener)
}

func size(_ context.Context, value []byte) ([]byte, error) {
	count, err := strconv.Atoi(string(value))
	if err != nil {
		return nil, err
	}
	return bytes.Repeat([]byte{'z'}, count), nil
}

func metadata(ctx context.Context, _ []byte) ([]byte, error) {
	md, _ := ttrpc.GetMetadata(ctx)
	var lines []string
	for key, values := range md {
		lines = append(lines, key+"="+strings.Join(values, ","))
	}
	sort.Strings(lines)
	return []byte(strings.Join(lines, "\n")), nil
}

func remaining(ctx context.Context, _ []byte) ([]byte, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return []byte("none"), nil
	}
	return []byte(strconv.FormatInt(time.Until(deadline).Milliseconds(), 10)), nil
}

// failWith takes "<code> <text>".
func failWith(_ context.Context, value []byte) ([]byte, error) {
	code, text, _ := strings.Cut(string(value), " ")
	number, err := strconv.Atoi(code)
	if err != nil {
		return nil, err
	}
	return nil, status.Error(codes.Code(number), text)
}

func wait(ctx context.Context, _ []byte) ([]byte, error) {
	<-ctx.Done()
	cancelled.Add(1)
	return nil, ctx.Err()
}

type command struct {
	ID        int                 `json:"id"`
	Service   string              `json:"service"`
	Method    string              `json:"method"`
	Text      string              `json:"text"`
	Size      int                 `json:"size"`
	TimeoutMs int                 `json:"timeoutMs"`
	Metadata  map[string][]string `json:"metadata"`
	// Count asks for that many calls at once, each with its own text, whose answers must equal their requests.
	Count int `json:"count"`
	// Close closes the client instead of calling.
	Close bool `json:"close"`
}

type outcome struct {
	ID int `json:"id"`
	// Code is the status; -1 for a failure without one, such as a closed connection.
	Code int    `json:"code"`
	Text string `json:"text"`
	Size int    `json:"size"`
	// Matched counts the answers of a command with count that equal their requests.
	Matched int64 `json:"matched"`
}

func call(socket string) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	client := ttrpc.NewClient(conn)
	var output sync.Mutex
	report := func(result outcome) {
		line, _ := json.Marshal(result)
		output.Lock()
		defer output.Unlock()
		fmt.Println(string(line))
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var cmd command
		if err := json.Unmarshal(lines.Bytes(), &cmd); err != nil {
			return err
		}
		if cmd.Close {
			client.Close()
			report(outcome{ID: cmd.ID})
			continue
		}
		go func() { report(execute(client, cmd)) }()
	}
	return lines.Err()
}

func execute(client *ttrpc.Client, cmd command) outcome {
	if cmd.Count == 0 {
		value := []byte(cmd.Text)
		if cmd.Size > 0 {
			value = bytes.Repeat([]byte{'z'}, cmd.Size)
		}
		answer, err := callOnce(client, cmd, value)
		return outcomeOf(cmd.ID, answer, err)
	}
	var matched atomic.Int64
	var all sync.WaitGroup
	failures := make(chan error, cmd.Count)
	for i := 0; i < cmd.Count; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			value := []byte(fmt.Sprintf("%s %d", cmd.Text, i))
			answer, err := callOnce(client, cmd, value)
			if err != nil {
				failures <- err
			} else if bytes.Equal(answer, value) {
				matched.Add(1)
			}
		}()
	}
	all.Wait()
	close(failures)
	result := outcomeOf(cmd.ID, nil, <-failures)
	result.Matched = matched.Load()
	return result
}

func callOnce(client *ttrpc.Client, cmd command, value []byte) ([]byte, error) {
	ctx := context.Background()
	if cmd.Metadata != nil {
		ctx = ttrpc.WithMetadata(ctx, ttrpc.MD(cmd.Metadata))
	}
	if cmd.TimeoutMs > 0 {
		limited, cancel := context.WithTimeout(ctx, time.Duration(cmd.TimeoutMs)*time.Millisecond)
		defer cancel()
		ctx = limited
	}
	name := cmd.Service
	if name == "" {
		name = service
	}
	var answer wrapperspb.BytesValue
	err := client.Call(ctx, name, cmd.Method, wrapperspb.Bytes(value), &answer)
	return answer.Value, err
}

func outcomeOf(id int, answer []byte, err error) outcome {
	if err == nil {
		text := ""
		if len(answer) <= textLimit {
			text = string(answer)
		}
		return outcome{ID: id, Text: text, Size: len(answer)}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return outcome{ID: id, Code: int(codes.DeadlineExceeded), Text: err.Error()}
	}
	if st, ok := status.FromError(err); ok {
		return outcome{ID: id, Code: int(st.Code()), Text: st.Message()}
	}
	return outcome{ID: id, Code: -1, Text: err.Error()}
}
