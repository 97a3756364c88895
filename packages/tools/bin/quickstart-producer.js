#!/usr/bin/env node
import '../dist/quickstart-producer.js'
