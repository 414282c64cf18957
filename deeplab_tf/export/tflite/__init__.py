"""LiteRT files: conversion, what is in them, their metadata."""
