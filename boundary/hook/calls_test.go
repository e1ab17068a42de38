package hook

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
)

func call(session, match string) *Event {
	return &Event{Match: match, Call: helm.Call{Session: session}}
}

// TestCalls: an outcome finds the call that it is of, and each call once, however many are
// the same and run at once.
func TestCalls(t *testing.T) {
	c := Calls{Dir: filepath.Join(t.TempDir(), "calls")}
	var ids, ended sync.Map
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			e := call("s", []string{"ls", "npm test"}[i%2])
			if err := c.Begin(e); err != nil {
				t.Error(err)
			}
			if err := helm.CheckName("call_id", e.Call.CallID); err != nil {
				t.Error(err)
			}
			if match, again := ids.LoadOrStore(e.Call.CallID, e.Match); again {
				t.Errorf("%s is %q and %q", e.Call.CallID, match, e.Match)
			}
		})
	}
	wg.Wait()
	for i := range 40 {
		wg.Go(func() {
			e := call("s", []string{"ls", "npm test"}[i%2])
			if err := c.End(e); err != nil {
				t.Error(err)
			}
			if match, _ := ids.Load(e.Call.CallID); match != e.Match {
				t.Errorf("%s is of %q and was given to %q", e.Call.CallID, match, e.Match)
			}
			if _, again := ended.LoadOrStore(e.Call.CallID, true); again {
				t.Errorf("%s ended twice", e.Call.CallID)
			}
		})
	}
	wg.Wait()
	if err := c.End(call("s", "ls")); err == nil {
		t.Error("a call that nobody began ended")
	}
}

func TestCallsAreForgotten(t *testing.T) {
	c := Calls{Dir: filepath.Join(t.TempDir(), "calls")}
	begin := func(session string) *Event {
		e := call(session, "ls")
		if err := c.Begin(e); err != nil {
			t.Fatal(err)
		}
		return e
	}
	first, last, end := begin("s"), begin("s"), call("s", "ls")
	if err := c.End(end); err != nil || end.Call.CallID != last.Call.CallID {
		t.Errorf("the last of two calls is %s, and %s ended: %v", last.Call.CallID, end.Call.CallID, err)
	}
	if err := c.End(end); err != nil || end.Call.CallID != first.Call.CallID {
		t.Errorf("the first of two calls is %s, and %s ended: %v", first.Call.CallID, end.Call.CallID, err)
	}

	begin("s")
	c.Drop(begin("s"))
	if err := c.End(call("other", "ls")); err == nil {
		t.Error("another session's call ended")
	}
	if err := c.End(call("s", "ls")); err != nil {
		t.Errorf("the call before the one that was dropped: %v", err)
	}
	begin("s")
	if err := c.Forget(call("s", "")); err != nil {
		t.Fatal(err)
	}
	if err := c.End(call("s", "ls")); err == nil {
		t.Error("a call of a session that ended is known")
	}

	begin("old")
	old := time.Now().Add(-2 * forgetAfter)
	if err := os.Chtimes(c.session(call("old", "")), old, old); err != nil {
		t.Fatal(err)
	}
	begin("s")
	if err := c.End(call("old", "ls")); err == nil {
		t.Error("a session of long ago is known")
	}

	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (Calls{Dir: file}).Begin(call("s", "ls")); err == nil {
		t.Error("an id was kept in a file")
	}
}
