// Package freespace tells how much space is free on a disk.
package freespace
