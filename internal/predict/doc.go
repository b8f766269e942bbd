// Package predict answers rows with the model that serves. It is the one service
// below every protocol: who may ask, which model answers, whether there is room
// for the work, the evaluation and the explanation. It knows neither HTTP nor any
// other protocol; its errors are typed, and a protocol puts them into its words.
package predict
