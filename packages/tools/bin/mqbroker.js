#!/usr/bin/env node
import '../dist/mqbroker.js'
