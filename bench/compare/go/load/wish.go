// Package load is what the Go loads have in common: commands as lines, `WORKLOAD KEY=VALUE ...`, each answered by `begin`
// and `end` around what is measured and by `done {JSON}` or `error REASON` at last.
package load

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Wish is one command. A setting that is missing is an error, so none has a default twice.
type Wish struct {
	Workload string
	settings map[string]string
}

func parse(line string) Wish {
	words := strings.Fields(line)
	wish := Wish{Workload: words[0], settings: map[string]string{}}
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		wish.settings[key] = value
	}
	return wish
}

func (wish Wish) Text(name string) string {
	value, found := wish.settings[name]
	if !found {
		panic(fmt.Sprintf("%s needs %s", wish.Workload, name))
	}
	return value
}

func (wish Wish) Number(name string) int {
	value, err := strconv.Atoi(wish.Text(name))
	if err != nil {
		panic(err)
	}
	return value
}

func (wish Wish) Seconds(name string) time.Duration {
	return time.Duration(wish.Number(name)) * time.Second
}

// Answer has what was counted.
type Answer map[string]any

// Serve answers commands until its input ends.
func Serve(answer func(Wish) (Answer, error)) {
	commands := bufio.NewScanner(os.Stdin)
	fmt.Println("ready")
	for commands.Scan() {
		counted, err := guarded(answer, parse(commands.Text()))
		if err != nil {
			fmt.Println("error", strings.Join(strings.Fields(err.Error()), " "))
			continue
		}
		text, err := json.Marshal(counted)
		if err != nil {
			panic(err)
		}
		fmt.Println("done", string(text))
	}
}

func guarded(answer func(Wish) (Answer, error), wish Wish) (counted Answer, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("%v", reason)
		}
	}()
	return answer(wish)
}
