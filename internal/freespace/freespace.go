// Package freespace tells how much room is left on a disk.
package freespace
