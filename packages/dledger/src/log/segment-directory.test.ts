import { expect, test } from 'vitest'
import { HandleDisk, noRoom } from '../disk/testing/handle-disk.ts'
import { SegmentDirectory } from './segment-directory.ts'

test('a file that could not be made is not left open, and is made when there is room', () => {
  const disk = new HandleDisk()
  disk.makeDirectorySync('/m')
  const files = new SegmentDirectory(disk, '/m/data', 1024)
  disk.failing.set('truncateSync', noRoom())
  expect(() => files.fileOrCreate(0)).toThrow('ENOSPC')
  expect(disk.open).toEqual([])
  expect(files.fileOrCreate(0).sizeSync()).toBe(1024)
  files.close()
  expect(disk.open).toEqual([])
})
