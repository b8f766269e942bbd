package httpapi

import (
	"net/http"
	"strings"
)

// A face is the dialect that a part of the API speaks.
type face int

const (
	faceNative    face = iota // RFC 9457
	faceToken                 // RFC 6749
	faceMLflow                // MLflow's scoring server
	faceInference             // Open Inference Protocol V2
)

// faceOf tells the face by the path.
func faceOf(path string) face {
	switch {
	case path == tokenPath:
		return faceToken
	case path == invocationsPath:
		return faceMLflow
	case path == inferencePath, strings.HasPrefix(path, inferencePath+"/"):
		return faceInference
	default:
		return faceNative
	}
}

// mlflowError is the error answer of MLflow's scoring server.
type mlflowError struct {
	Code    string `json:"error_code"`
	Message string `json:"message"`
}

// inferenceError is the error answer of the Open Inference Protocol.
type inferenceError struct {
	Error string `json:"error"`
}

// invalid is the status of a body that makes no sense.
func (f face) invalid() int {
	if f == faceNative {
		return http.StatusUnprocessableEntity
	}
	return http.StatusBadRequest
}

// errorTypes describes the face's error answers.
func (f face) errorTypes() []mediaType {
	switch f {
	case faceToken:
		return jsonOf[oauthError](nil)
	case faceMLflow:
		return jsonOf[mlflowError](nil)
	case faceInference:
		return jsonOf[inferenceError](nil)
	default:
		return []mediaType{{name: "application/problem+json", schema: schemaOf[problem]}}
	}
}

// mlflowCode is the error code of an answer, in MLflow's vocabulary.
func mlflowCode(f failure) string {
	switch {
	case f.mlflow != "":
		return f.mlflow
	case f.status == http.StatusUnauthorized:
		return "UNAUTHENTICATED"
	case f.status == http.StatusForbidden:
		return "PERMISSION_DENIED"
	case f.status == http.StatusNotFound, f.status == http.StatusMethodNotAllowed:
		return "ENDPOINT_NOT_FOUND"
	case f.status == http.StatusServiceUnavailable:
		return "TEMPORARILY_UNAVAILABLE"
	case f.status >= http.StatusInternalServerError:
		return "INTERNAL_ERROR"
	default:
		return "BAD_REQUEST"
	}
}
