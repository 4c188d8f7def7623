package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// writeSBOM writes what the program says of its modules: those that are linked into it, and no
// others.
func (p *program) writeSBOM(dir string) error {
	bom, err := p.bom()
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, p.file()+".cdx.json"))
	if err != nil {
		return err
	}
	return errors.Join(cdx.NewBOMEncoder(f, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6), f.Close())
}

func (p *program) bom() (*cdx.BOM, error) {
	content, err := os.ReadFile(p.path)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(content)
	program := component(cdx.ComponentTypeApplication, p.info.Main.Path, p.version)
	program.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(hash[:])}}
	program.Licenses = &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}}
	program.Properties = &[]cdx.Property{{Name: "platform", Value: p.os + "/" + p.arch}}
	libraries := []cdx.Component{component(cdx.ComponentTypeLibrary, "std", strings.TrimPrefix(p.info.GoVersion, "go"))}
	for _, module := range p.info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		libraries = append(libraries, libraryOf(module))
	}
	var needs []string
	for _, library := range libraries {
		needs = append(needs, library.BOMRef)
	}
	bom := cdx.NewBOM()
	// A number of its own for each program, and the same for the same one.
	bom.SerialNumber = uuid(hash)
	bom.Metadata = &cdx.Metadata{Timestamp: p.time.Format(time.RFC3339), Component: &program}
	bom.Components = &libraries
	bom.Dependencies = &[]cdx.Dependency{{Ref: program.BOMRef, Dependencies: &needs}}
	return bom, nil
}

// uuid is a name for the bytes that have this hash (RFC 9562, version 8).
func uuid(hash [32]byte) string {
	b := hash[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// libraryOf has the module's go.sum hash, which is not that of a file.
func libraryOf(module *debug.Module) cdx.Component {
	c := component(cdx.ComponentTypeLibrary, module.Path, module.Version)
	c.Properties = &[]cdx.Property{{Name: "go.sum", Value: module.Sum}}
	return c
}

func component(kind cdx.ComponentType, name, version string) cdx.Component {
	purl := "pkg:golang/" + name + "@" + strings.ReplaceAll(version, "+", "%2B")
	return cdx.Component{Type: kind, BOMRef: purl, Name: name, Version: version, PackageURL: purl}
}
