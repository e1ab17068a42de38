package policy

import "cel.dev/cel-go/cel"

var factsType = cel.ObjectType("facts")

var factFields = map[string]fields{"facts": {}}

var factMethods = map[string][]string{}

var factFunctions []cel.EnvOption
