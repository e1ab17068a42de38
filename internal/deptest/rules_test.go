package deptest

// Which way dependencies may point, and why. Packages are named from the module's
// root, "." being the root itself; "x/..." is x and all below it. What tests
// import is free.

// A ban forbids the packages in to import any of never.
type ban struct {
	in      []string
	except  []string
	never   []string // import paths; a leading "./" stands for the module's own
	through bool     // by whatever path, not only in an import of their own
	because string
}

// everything is all packages of the module.
var everything = []string{"./..."}

var bans = []ban{
	{
		in: []string{"./policy", "./facts", "./receipt", "./verify", "./replay", "./strictjson", "./decimal", "./budget", "./sshsig", "."},
		never: []string{"os", "os/...", "syscall", "net", "net/http/...", "net/rpc/...", "net/smtp", "log/...", "math/rand/...", "plugin",
			"runtime", "unsafe", "golang.org/x/sys/..."},
		because: "they are pure: the same bytes give the same answer on any machine, for years, so nothing reaches them but what is passed in",
	},
	{
		in:      []string{"./verify/...", "./cmd/helm-verify"},
		never:   []string{"./policy/...", "./ledger/...", "./kernel/...", "./boundary/...", "net/http/...", "database/sql/...", "os/exec"},
		through: true,
		because: "an auditor reads and trusts the verifier alone: it takes nothing from the program that it checks, opens no connection and starts nothing",
	},
	{
		in: everything, except: []string{"./policy/..."},
		never:   []string{"cel.dev/...", "github.com/google/cel-go/..."},
		because: "one package turns conditions into answers: one profile, one cost bound, one replay",
	},
	{
		in: everything, except: []string{"./facts/..."},
		never:   []string{"mvdan.cc/sh/..."},
		because: "one package says what a shell command means: a second reading of it is a way round the rules",
	},
	{
		in: everything, except: []string{"./boundary/mcp", "./internal/bank"}, // the server and client of the demo
		never:   []string{"github.com/modelcontextprotocol/go-sdk/..."},
		because: "one package speaks the Model Context Protocol: what it passes on untouched, another would read and write again",
	},
	{
		in: everything, except: []string{"./ledger/sqlite"},
		never:   []string{"modernc.org/..."},
		because: "the SQLite driver belongs to its store: whoever else had it could change the log behind the ledger",
	},
	{
		in: everything, except: []string{"./ledger/postgres"},
		never:   []string{"github.com/jackc/pgx/..."},
		because: "the PostgreSQL driver belongs to its store: whoever else had it could change the log behind the ledger",
	},
	{
		in: everything, except: []string{"./ledger/sqlite", "./ledger/postgres"},
		never:   []string{"database/sql/..."},
		because: "rows are reached through a ledger.Store, which says what is durable and when",
	},
	{
		in:      []string{"./kernel/...", "./ledger"},
		never:   []string{"./boundary/...", "./ledger/sqlite", "./ledger/postgres", "./internal/...", "net/http/..."},
		through: true,
		because: "they declare the interfaces that they consume: what implements or calls them is wired by internal/cli",
	},
	{
		in: everything, except: []string{"./internal/...", "./cmd/..."},
		never:   []string{"./ledger/sqlite", "./ledger/postgres", "./internal/cli/..."},
		because: "internal/cli is the one place that wires everything",
	},
	{
		in: everything, except: []string{"./internal/..."},
		never:   []string{"github.com/spf13/..."},
		because: "flags and commands are read in internal/cli, and passed on as values",
	},
	{
		in:      []string{"./cmd/..."},
		never:   []string{"testing", "./ledger/storetest", "./pack/packtest"},
		through: true,
		because: "what helps tests to forge a log is not in a program that people run",
	},
}

// An only allows the packages in nothing but the standard library and what it
// names, by whatever path.
type only struct {
	in      []string
	allowed []string
	because string
}

var onlys = []only{
	{
		in:      []string{"."},
		because: "everything imports the words of package helm, so they cost nobody a dependency",
	},
	{
		in: []string{"./verify/...", "./cmd/helm-verify"},
		allowed: []string{".", "./strictjson", "./decimal", "./sshsig", "./receipt", "./pack", "./verify/...", "./cmd/helm-verify",
			"golang.org/x/mod/sumdb/note", "golang.org/x/mod/sumdb/tlog", "golang.org/x/crypto/...", "github.com/go-json-experiment/json/..."},
		because: "an auditor reads the verifier whole, in an hour: each further dependency is one more thing to trust",
	},
}

// Siblings below these folders never import one another.
var siblings = map[string]string{
	"./boundary": "a boundary can be read, changed and left out alone: what two of them need belongs to the kernel",
	"./ledger":   "each store stands alone, and the conformance suite is what they have in common",
}

// Pure packages use none of these. Unsorted iteration over maps is out of reach of
// this test: golden files and replay vectors hold that.
var (
	pure = []string{"./policy", "./facts", "./receipt", "./verify", "./replay", "./strictjson", "./decimal", "./budget", "./sshsig", "."}

	impure = map[string]map[string]string{ // import path -> name, "*" being any -> why
		"time": {
			"Now": clock, "Since": clock, "Until": clock, "Sleep": clock, "After": clock, "AfterFunc": clock, "Tick": clock,
			"NewTimer": clock, "NewTicker": clock,
			"Local":        "the machine's time zone changes what is printed: times are UTC",
			"LoadLocation": "it reads the machine's time zones: times are UTC",
		},
		"crypto/rand":    {"*": "randomness is passed in: what is made twice of the same input is equal; Ed25519 needs none to sign (RFC 8032, section 5.1.6)"},
		"hash/maphash":   {"*": "its seed is random: what is made twice of the same input is equal"},
		"path/filepath":  {"*": "it differs between systems and reads the disk: package path does neither"},
		"crypto/ed25519": {"GenerateKey": "keys are made by whoever keeps them"},
	}
)

const clock = "the time is an input, and recorded: what is decided today must be decided so again in ten years"
